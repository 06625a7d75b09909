"""Guest firmware: the images that come with minstret, for rv64 and rv32.

Owns the names, descriptions and paths of the images. The sources lie next to this file; `tools/build-firmware`
builds them into `images/`, which is committed and part of the wheel.
"""

from __future__ import annotations

from pathlib import Path

XLENS = (64, 32)

_DESCRIPTION_BY_NAME = {
    "hello": "prints a greeting and the hart id, then passes",
    "ticks": "takes 100 timer interrupts at 1 kHz, waiting with WFI, and reports their jitter",
    "traps": "provokes every exception and interrupt and checks what the handlers see",
    "clocks": "reads every clock and counter, checks that they agree, counts known code",
    "echo": "echoes what is typed in upper case, all by UART interrupts through the PLIC, up to a full stop",
    "rtc": "sets alarms of the real-time clock and its time, waits for their interrupts and checks what it sees",
    "rtos": "runs four tasks under a tickless preemptive scheduler, checks their wake-ups and results",
    "paging": "checks translation in depth: walks, A and D, superpages, fences, page edges, aliases, satp, MPRV, PMP",
    "bits": "checks every instruction of Zba, Zbb, Zbs, Zicond, Zicboz, Zicbom and Zawrs, and runs code built for them",
    "paging-s": "the checks of paging that S-mode can make; runs at 0x80200000 under SBI firmware such as OpenSBI",
    "smp": "1 to 8 harts: barriers, locks, atomics, interrupts, code and page tables that others change, counters",
    "race": "a lost update, an ABA or a missed wake-up between harts, which only an unlucky switch brings out",
    "bench": "sorts, hashes and multiplies: about 1 G instructions of integer work",
    "kernels": "runs twelve small integer programs, as embedded code is full of them; made to be patched",
    "mix": "works a little on memory, floating-point numbers, output and device interrupts; made to be patched",
    "dhcp": "gets an address by DHCP four times and pings the gateway, polling a virtio network card in a busy loop",
    "dhcp-wfi": "the same as dhcp, but asleep in WFI while it waits for the network card",
    "tftp": "gets an address by DHCP, fetches the boot file by TFTP and prints its size and CRC-32",
    "keys": "prints the events of virtio keyboards and tablets, switches a light at each key press, up to Esc",
    "crash": "stores to an unmapped address with no trap handler: the run ends in a crash report",
    "thermostat": "a product with a command line on its UART, and with a planted bug that one of its tests finds",
    "meter": "adds up pulses, typed or its own: an instruction, input or unwritten memory makes two runs part",
    "smash": "overwrites a return address and finds out a million instructions later: for a debugger that goes back",
}

IMAGES: tuple[str, ...] = tuple(_DESCRIPTION_BY_NAME)


def image_path(name: str, xlen: int = 64) -> Path:
    """Path of an image's ELF.

    Args:
        name: One of `IMAGES`.
        xlen: Register width in bits, one of `XLENS`.

    Raises:
        ValueError: There is no such image.
    """
    _check_name(name)
    if xlen not in XLENS:
        raise ValueError(f"firmware image {name!r}: expected a width of {_listed(XLENS)}, got {xlen}")
    return Path(__file__).parent / "images" / f"{name}-rv{xlen}.elf"


def describe(name: str) -> str:
    """Say in one line what an image does.

    Raises:
        ValueError: There is no such image.
    """
    _check_name(name)
    return _DESCRIPTION_BY_NAME[name]


def _check_name(name: str) -> None:
    if name not in IMAGES:
        raise ValueError(f"firmware image: expected one of {_listed(IMAGES)}, got {name!r}")


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))
