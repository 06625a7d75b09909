"""The host side of a NIC: QEMU's user network without a host.

Bytes and virtual time in, frames out. ``network.py`` puts it together, one file a protocol does the rest. Nothing
here opens a socket, reads a clock but the one it is given, or raises on what a guest sends.

On the wire it behaves as libslirp under QEMU's ``-netdev user``: tests/devices/outside/usernet/data has captures, and
tests/devices/outside/usernet/test_like_qemu.py lists each intended difference.
"""
