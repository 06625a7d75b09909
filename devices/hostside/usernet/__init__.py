"""The user network, on the host side of the guest's network card: modelled on QEMU's, but without a way to the host.

It gets frames and virtual time and produces frames. ``network.py`` puts the parts together; each protocol has a file of
its own. Nothing here opens a socket, reads any clock but the one it is given, or raises because of what a guest sends.

On the wire it behaves like libslirp under QEMU's ``-netdev user``. tests/devices/hostside/usernet/data has captures of
that, and tests/devices/hostside/usernet/test_like_qemu.py lists each intended difference.
"""
