"""What QEMU's command line may say of machine and CPUs, beside what this board has."""

from __future__ import annotations

from minstret.emu.cli.qemusyntax import refused, settings, shown, switch
from minstret.emu.hart.cpu import EXTENSION_NAMES, parse_cpu

MACHINE_HELP = "Supported machines are:\nvirt                 RISC-V VirtIO board"

_MACHINE_OFF = ("aclint", "acpi", "usb", "graphics", "hmat", "nvdimm", "iommu-sys", "dump-guest-core", "mem-merge",
                "suppress-vmdesc")  # fmt: skip
"""Switches of QEMU's virt that must be off here."""
_EITHER = ("dump-guest-core", "mem-merge", "suppress-vmdesc", "graphics")
"""Those that make no difference here."""

_HAS = frozenset("i m a f d c g s u mmu pmp counters zicsr zifencei zicntr zihpm zmmul sv32 sv39 zaamo zalrsc".split())
"""Extensions and parts of every hart."""
_LACKS = frozenset(
    "b e h j v zbc zbkb zbkc zbkx zfh zfhmin zfa zfinx zdinx zhinx zhinxmin zk zkn zknd zkne zknh zkr zks "
    "zksed zksh zkt zve32f zve32x zve64d zve64f zve64x zvfh zca zcb zcd zce zcf zcmp zcmt zacas zicbop "
    "zihintntl zama16b zabha svade svvptc sscofpmf smstateen "
    "smaia ssaia smepmp epmp sv64 x-epmp x-j x-smaia x-ssaia xventanacondops debug sdtrig smcntrpmf "
    "smrnmi ssdbltrp smdbltrp zicfilp zicfiss ztso".split()
)
"""Those of QEMU's harts that these have not. emu/hart/cpu.py has what may be there or not."""
_MODELS = {"rv64": 64, "rv32": 32}


def cpu_help(width: int | None) -> str:
    """The answer to ``-cpu help``: the models of that width, of any if it is None."""
    return "\n".join(model for model, xlen in _MODELS.items() if width in (None, xlen))


def check_machine(option: str, value: str) -> None:
    """Check ``-machine``.

    Raises:
        ConfigError: it asks for another board than this one.
    """
    for key, text in settings(value, "type"):
        if key == "type":
            if text != "virt":
                raise refused(option, value, f"there is no machine {shown(text)!r} here; there is virt")
        elif key == "aia" and text == "none":
            pass
        elif key == "accel":
            if text != "tcg":
                raise refused(option, value, f"accel={shown(text)}: instructions are translated; leave it out")
        elif key in _MACHINE_OFF:
            if switch(option, value, key, text) and key not in _EITHER:
                raise refused(option, value, f"{key}: this board has none; give {key}=off, or leave it out")
        elif key in ("dumpdtb", "dtb"):
            raise refused(option, value, f"{key}=: not done here; minstret dtb -o FILE writes the device tree")
        else:
            raise refused(option, value, f"this machine has no {shown(key)!r}")


def check_cpu(option: str, value: str, width: int | None) -> str:
    """Check ``-cpu``; gives what ``--cpu`` takes for it.

    Raises:
        ConfigError: it asks for what these harts have not, or for harts without what these have.
    """
    model, _, rest = value.partition(",")
    if (_MODELS.get(model, width) != width and width is not None) or model not in _MODELS:
        known = cpu_help(width).replace("\n", " or ")
        raise refused(option, value, f"there is no CPU {shown(model)!r} here; expected {known}")
    chosen, switches = [model], f"to switch there are {' '.join(EXTENSION_NAMES)}"
    for key, text in settings(rest):
        name = key.lower()
        if name in EXTENSION_NAMES:
            chosen.append(f"{name}={'on' if switch(option, value, key, text) else 'off'}")
            continue
        if name not in _HAS | _LACKS:
            raise refused(option, value, f"{shown(key)!r} can't be set here; leave it out")
        is_on = switch(option, value, key, text)
        if is_on and name in _LACKS:
            raise refused(option, value, f"{key}: these harts have none; {switches}")
        if not is_on and name in _HAS:
            raise refused(option, value, f"{key}: these harts always have it; {switches}")
    asked = ",".join(chosen)
    parse_cpu(asked, f"{option} {shown(value)}")
    return asked
