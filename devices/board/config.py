"""What a board is made of, and what it may ask the host for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from minstret.devices.hostside.side import INPUTS, NetConfig
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.devices.services.guestfiles import Folder
from minstret.emu import units
from minstret.emu.errors import ConfigError
from minstret.emu.hart.cpu import Cpu, default_cpu, parse_cpu
from minstret.emu.hart.engine import RAM_MAX
from minstret.emu.hart.shared import PAGE_SIZE, Counting
from minstret.emu.machine import SLICE_INSNS_MAX
from minstret.emu.registers import HARTS_MAX
from minstret.emu.schedule import DEFAULT_QUANTUM, QUANTUM_MAX

DEFAULT_RAM_SIZE = 128 * units.MIB
DEFAULT_ICOUNT_SHIFT = 1
DEFAULT_RTC_BASE_NS = 1_538_352_000 * units.NS_PER_S
"""2018-10-01 00:00:00 UTC: a fixed date, so that runs agree."""
DEFAULT_XLEN = 64

ENTROPY = ("seed", "host", "none")
"""Where the guest's random bytes come from; ``none``: the board has no entropy source."""


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """What a board is made of. Sizes in bytes, times in ns.

    ``xlen`` None: from ``cpu``, else the ELF, else 64. ``cpu``: a hart as ``--cpu`` names it, such as ``rv64,zba=off``;
    None: all that there is (emu/hart/cpu.py). ``rtc_base_ns`` counts from 1970; with ``rtc_follows_host``
    the wall clock goes with the host's, else with virtual time. ``net`` and ``inputs`` (of INPUTS) fill the virtio
    slots from the last one down, in this order, then the entropy source: ``entropy`` is one of ENTROPY. With a
    ``chaos_seed`` what comes from the host side is delayed; see hostside/chaos.py. ``timer_model`` is one of
    TIMER_MODELS. ``host_files``: semihosting has files, those of HostAnswers; ``arguments`` follow the firmware's name
    in the command line that it gives. ``smp``: how many harts, up to HARTS_MAX; ``quantum``: for how many instructions
    each of them runs before another does. ``reset_ends``: a reset ends the run, with exit code 0.
    """

    xlen: int | None = None
    cpu: str | None = None
    ram_size: int = DEFAULT_RAM_SIZE
    icount_shift: int = DEFAULT_ICOUNT_SHIFT
    sleep: bool = False
    rtc_base_ns: int = DEFAULT_RTC_BASE_NS
    rtc_follows_host: bool = False
    seed: int = 0
    slice_insns_max: int | None = SLICE_INSNS_MAX
    counting: Counting = Counting.CODE
    net: NetConfig | None = None
    inputs: tuple[str, ...] = ()
    virtio_legacy: bool = False
    entropy: str = "seed"
    chaos_seed: int | None = None
    timer_model: str = TIMER_MODELS[0]
    host_files: bool = False
    arguments: str = ""
    smp: int = 1
    quantum: int = DEFAULT_QUANTUM
    reset_ends: bool = False


@dataclass(slots=True)
class HostAnswers:
    """What the host is asked for: its time, random bytes, files. The default has none, so nothing depends on it."""

    realtime_ns: Callable[[], int] = field(default=lambda: 0)
    wall_ns: Callable[[], int] = field(default=lambda: 0)
    entropy: Callable[[int], bytes] = field(default=bytes)
    files: Folder | None = None


def cpu_of(config: BoardConfig, name: str, image_xlen: int | None) -> Cpu:
    """The harts of a board for an image of that name and width; None: the image does not tell.

    Raises:
        ConfigError: they don't go together, or there is no such hart.
    """
    if not isinstance(config.cpu, str | None):
        raise ConfigError(f'cpu: expected a text such as "rv64,zba=off", got {config.cpu!r:.60}')
    wanted = None if config.cpu is None else parse_cpu(config.cpu)
    xlen = config.xlen or (wanted.xlen if wanted else None)
    if xlen is not None and wanted is not None and wanted.xlen != xlen:
        raise ConfigError(f"cpu: {config.cpu} is not the xlen={xlen} that is asked for too")
    if image_xlen is not None and xlen is not None and xlen != image_xlen:
        raise ConfigError(f"{name}: an rv{image_xlen} executable, but --cpu asks for rv{xlen}")
    return wanted or default_cpu(image_xlen or xlen or DEFAULT_XLEN)


def check(config: BoardConfig) -> None:
    """Raise ConfigError where no board can be made like that."""
    size, largest = config.ram_size, RAM_MAX[config.xlen or DEFAULT_XLEN]
    if type(size) is not int:
        raise ConfigError(f"memory: expected a number of bytes, got {size!r:.60}")
    if size <= 0 or size % PAGE_SIZE:
        raise ConfigError(f"memory: {size} bytes is not a positive multiple of {PAGE_SIZE}")
    if size > largest:
        raise ConfigError(f"memory: {size >> 20} MiB is too much; rv{config.xlen} takes up to {largest >> 20} MiB")
    if config.net is not None and not isinstance(config.net, NetConfig):
        raise ConfigError(f"net: expected a NetConfig, got {config.net!r:.100}")
    if not isinstance(config.counting, Counting):
        raise ConfigError(f"counting: expected a Counting such as {Counting.CODE}, got {config.counting!r:.100}")
    for what, count, most in (("smp", config.smp, HARTS_MAX), ("quantum", config.quantum, QUANTUM_MAX)):
        if type(count) is not int or not 1 <= count <= most:
            raise ConfigError(f"{what}: expected a number from 1 to {most}, got {count!r:.100}")
    for what, value, known in (
        ("entropy", config.entropy, ENTROPY),
        ("timer model", config.timer_model, TIMER_MODELS),
    ):
        if value not in known:
            raise ConfigError(f"{what}: expected {', '.join(known)}, got {value!r}")
    inputs = config.inputs
    if isinstance(inputs, str):
        raise ConfigError(f'input: expected a tuple such as ("keyboard",), got {inputs!r:.60}')
    for kind in inputs:
        if kind not in INPUTS:
            raise ConfigError(f"input: expected {' or '.join(INPUTS)}, got {kind!r}")
    if len(set(inputs)) < len(inputs):
        raise ConfigError(f"input: {', '.join(inputs)}: each input device may be given once")
