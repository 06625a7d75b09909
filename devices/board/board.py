"""The board: what a user drives. Its devices are listed in virt.py.

with the command:   minstret run firmware.elf
from Python:        board = Board("firmware.elf"); board.run_until(uart="login:")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from minstret.devices.board.bench import Bench
from minstret.devices.board.boot import load_images, page_of_images
from minstret.devices.board.config import BoardConfig, HostAnswers, check, cpu_of
from minstret.devices.board.console import CONSOLE_STREAM, CONSOLE_TARGET, Console
from minstret.devices.board.map import BOOT_ROM_SIZE, Base
from minstret.devices.board.own import again, check_own
from minstret.devices.board.placement import BootImages, Load, Placement, place
from minstret.devices.board.port import NetPort
from minstret.devices.board.tree import Described, device_tree
from minstret.devices.board.virt import virt_parts
from minstret.devices.board.wake import WakeUps
from minstret.devices.chips.clint import Clint
from minstret.devices.chips.clint import Reg as ClintReg
from minstret.devices.chips.plic import Plic
from minstret.devices.chips.rtc import GoldfishRtc
from minstret.devices.chips.uart16550 import Uart16550
from minstret.devices.hostside.expectations import Ending, Expectations
from minstret.devices.hostside.hostinput.script import ScriptLine
from minstret.devices.hostside.serial_line import SerialLine
from minstret.devices.hostside.side import KEYBOARD, NET_STREAM, NET_TARGET, HostSide
from minstret.devices.hostside.timer_models import MODELS, TIMER_MODELS, drop_attributes, host_side_timers
from minstret.devices.hostside.usernet.config import Files
from minstret.devices.services.guestfiles import GuestFiles
from minstret.devices.services.htif import Htif
from minstret.devices.services.semihosting import Semihosting, Surroundings
from minstret.devices.virtio.constants import DeviceId
from minstret.devices.virtio.mmio import VirtioFunction, VirtioMmio
from minstret.devices.virtio.net import VirtioNet
from minstret.emu.door.door import Door, Event, Position
from minstret.emu.errors import ConfigError
from minstret.emu.guard import Guard
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.views import Memory, Registers
from minstret.emu.images.loader import Firmware, ImageFile, load_firmware, read_image
from minstret.emu.irq import SourceState
from minstret.emu.machine import Machine, MachineConfig, Outcome
from minstret.emu.part import Device, Part, takes_pieces
from minstret.emu.report import InterruptCount, report
from minstret.emu.wiring import Assembly

if TYPE_CHECKING:
    from minstret.devices.virtio.input import VirtioInput
    from minstret.emu.images.variables import Variables
    from minstret.emu.logs import Logs

_RNG_SEED_SIZE = 32
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a board is made of: its configuration, what it boots, its host side's files and script, own devices.

    ``endings`` are what ends its run when the guest says it.
    ``bios`` None: the kernel runs first, in M-mode. ``loads`` are further files to put into memory. Each board gets
    devices of its own, like those in ``devices``.
    """

    config: BoardConfig
    bios: ImageFile | None
    kernel: ImageFile | None = None
    initrd: ImageFile | None = None
    append: str = ""
    files: Files | None = None
    script: tuple[ScriptLine, ...] = ()
    endings: tuple[Ending, ...] = ()
    loads: tuple[Load, ...] = ()
    devices: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        """Raise ConfigError for a path where an image has to be."""
        for role in ("bios", "kernel", "initrd"):
            file = getattr(self, role)
            if file is not None and not isinstance(file, ImageFile):
                raise ConfigError(f"{role}: expected what read_image gives, got {file!r:.200}")

    def make(
        self, *, door: Door | None = None, host: HostAnswers | None = None,
        on_console: Callable[[bytes], None] | None = None, has_host_side: bool = True,
    ) -> Board:  # fmt: skip
        """Make the board; see Board."""
        return Board(
            self.bios, self.config, kernel=self.kernel, initrd=self.initrd, append=self.append, loads=self.loads,
            files=self.files, script=self.script, endings=self.endings, door=door, host=host, on_console=on_console,
            has_host_side=has_host_side, devices=[again(device) for device in self.devices],
        )  # fmt: skip


class Board(Bench):
    """A machine with firmware in it, ready to run from power-on.

    Attributes:
        machine: The loop, the clocks and the timers.
        cpu: What its harts are.
        harts: The CPUs, in the order of their ids.
        memory: Physical memory: ``board.memory[0x8000_0000:0x8000_0010]`` reads, assignment writes.
        breakpoints: Virtual addresses to stop before: ``board.breakpoints.add(0x8000_0100)``.
        watches: Ranges of RAM to stop after an access to: ``board.watches.add(WatchKind.STORE, 0x8000_2000, 8)``.
        console: Every byte the guest has sent.
        host_side: The user network, the input queue and so on. A replay has none.
        heard: How much of that ``expect`` has used, bytes.
        net: The far end of the network card: ``board.net.send(frame)``.
        plic, clint, uart, card, inputs: Devices by what they are; ``card`` is None where there is none.
        on_frame: Called with each frame that crosses the card, either way, as it does.
    """

    def __init__(
        self,
        firmware: str | Path | ImageFile | Firmware | None,
        config: BoardConfig | None = None,
        *,
        on_console: Callable[[bytes], None] | None = None,
        kernel: str | Path | ImageFile | None = None,
        initrd: str | Path | ImageFile | None = None,
        append: str = "",
        loads: Sequence[Load] = (),
        door: Door | None = None,
        host: HostAnswers | None = None,
        files: Files | None = None,
        script: Sequence[ScriptLine] = (),
        endings: Sequence[Ending] = (),
        has_host_side: bool = True,
        devices: Sequence[Part] = (),
    ) -> None:
        """Make the board and load ``firmware``.

        Args:
            firmware: What runs first, in M-mode: an ELF executable, a raw binary (for the start of RAM) or another
                image of those that emu/images/loader.py knows. None: the kernel runs first.
            kernel: What the firmware starts next (fw_dynamic tells it where); placed as QEMU does.
            initrd: Placed behind the kernel, and told in the device tree.
            append: The kernel's command line, in the device tree.
            loads: Further files to put into memory.
            config: What the board is made of.
            on_console: Called with what the guest sends, as it comes.
            door: What the host decides comes through here; by default nothing does.
            host: Host clocks, for ``rtc_follows_host``.
            files: What the user network's TFTP server offers.
            script: What keyboard, tablet and console do when, and what the guest is expected to say.
            endings: What ends the run when the guest says it: ``until(...)`` and ``fail_on(...)``.
            has_host_side: Whether there are a user network, an input queue and so on. A replay has none: the trace says
                what comes from them.
            devices: Devices of your own: see docs/devices.md.
        Raises:
            ConfigError: the firmware or the configuration is no good; the text says why.
        """
        config = config or BoardConfig()
        self.images = _boot_images(firmware, _image(kernel), _image(initrd), append, loads, config.ram_size)
        self.firmware = self.images.bios
        self.cpu = cpu_of(config, self.firmware.name, self.firmware.xlen)
        self.config = replace(config, xlen=self.cpu.xlen, cpu=str(self.cpu))
        check(self.config)
        self.timer_model = MODELS[self.config.timer_model]
        self._host = host or HostAnswers()
        self.machine = Machine(self._machine_config(), door=door, realtime_ns=self._host.realtime_ns,
                               host_ns=self._host.wall_ns)  # fmt: skip
        self.harts = self.machine.harts
        self.console = bytearray()
        self._on_console = on_console
        self.heard = 0
        self.on_frame: Callable[[bytes], None] = lambda frame: None
        self._files, self._script, self._endings = files, tuple(script), tuple(endings)
        self._own = tuple(devices)
        self._add_devices()
        self._registers = [Registers(hart) for hart in self.harts]
        self.memory = Memory(self.hart)
        self.breakpoints, self.watches = self.machine.breakpoints, self.machine.watches
        self.placement: Placement = place(self.images, self.hart.xlen, self.config.ram_size, self._make_tree)
        self.symbols = self.firmware.symbols.with_others(*self.placement.others)
        load_images(self.hart, self.placement)
        self.machine.reset_harts(Base.BOOT_ROM)
        self._add_services()
        self._listen()
        self.host_side: HostSide | None = None
        if has_host_side:
            self._add_host_side()
        self.machine.on_reset = self.reset

    # ---- running

    @property
    def hart(self) -> Hart:
        """The CPU; of several the one that runs, or ran last."""
        return self.machine.hart

    @property
    def registers(self) -> Registers:
        """Registers of ``hart`` by name: ``pc``, ``x5`` or ``t0``, ``f3``, ``mstatus``..."""
        return self._registers[self.machine.hart.hart_id]

    @cached_property
    def variables(self) -> Variables:
        """The variables of what it boots, by path; ``read`` and ``write`` use them."""
        from minstret.emu.images.variables import Variables  # imported here: most runs ask for none

        return Variables(self.symbols)

    def registers_of(self, hart: int) -> Registers:
        """Those of a hart, by its id.

        Raises:
            ConfigError: there is no such hart.
        """
        if not 0 <= hart < len(self.harts):
            raise ConfigError(f"there is no hart {hart}; the board has {len(self.harts)}")
        if self.harts[hart] is not self.hart:
            self.harts[hart].be_at(self.hart.icount)  # its cycles and its time are the machine's
        return self._registers[hart]

    @property
    def position(self) -> Position:
        return self.machine.position

    def run(self) -> Outcome:
        """Run until the guest ends the run, or can't go on."""
        return self.machine.run()

    @property
    def _board(self) -> Board:
        return self

    def _go(self, icount: int | None, virtual_ns: int | None, *, passes_time: bool = False) -> Outcome:
        return self.machine.run(icount=icount, virtual_ns=virtual_ns, passes_time=passes_time)

    @contextmanager
    def heard_by(self, hearer: Callable[[bytes], None]) -> Iterator[None]:
        """Call ``hearer`` with what the guest sends to its console meanwhile, as it comes."""
        listeners = self.assembly.stream(CONSOLE_STREAM).listeners
        listeners.append(hearer)
        try:
            yield
        finally:
            listeners.remove(hearer)

    @contextmanager
    def saying(self, text: str | bytes) -> Iterator[list[bytes]]:
        """Stop runs once the guest has sent ``text`` meanwhile; what is given has it in it then."""
        awaited, begin = text.encode() if isinstance(text, str) else bytes(text), len(self.console)
        said: list[bytes] = []

        def hear(data: bytes) -> None:
            first_end = len(self.console) - len(data) + 1
            if not said and self.console.find(awaited, max(begin, first_end - len(awaited))) >= 0:
                said.append(awaited)
                self.machine.reach()

        with self.heard_by(hear):
            yield said

    def reset(self) -> None:
        """Reset as the board's reset button would: icount and virtual time go on."""
        self.assembly.reset()
        load_images(self.hart, self.placement)
        self.machine.reset_harts(Base.BOOT_ROM)

    def part(self, name: str) -> Any:
        """The device or service of that name, such as ``uart0``.

        Raises:
            ConfigError: there is none; the text says which there are.
        """
        parts = self.machine.parts.guest
        if name not in parts:
            raise ConfigError(f"there is no part {name!r} on this board; there are {', '.join(sorted(parts))}")
        return parts[name]

    def post(self, target: str, data: bytes) -> None:
        """Give ``data`` to a device's input, such as ``uart0.rx``: it enters at the next turn, and a recording has it.

        Raises:
            ConfigError: no device takes that, or the board has no host side.
            TypeError: ``data`` is no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{target}: expected bytes, got {data!r:.100}")
        if target not in self.assembly.inlets:
            raise ConfigError(f"nothing takes {target!r}; there are {', '.join(sorted(self.assembly.inlets))}")
        self.live_side(target)
        self.machine.door.post(Event(target, bytes(data)))

    def give(self, event: Event) -> None:
        """Let something come from the host: what is typed goes by the serial line; a recording has it.

        Raises:
            ConfigError: the board has no host side.
        """
        self.live_side(event.target)
        self.machine.door.give(event)

    def live_side(self, target: str) -> HostSide:
        """The host side, for something that is to come in by ``target``.

        Raises:
            ConfigError: a replay has none.
        """
        if self.host_side is None:
            raise ConfigError(f"{target}: in a replay everything comes from the trace")
        return self.host_side

    def _send_frame(self, frame: bytes) -> None:
        """Send a frame to the guest's card; in a replay the trace has it."""
        self.machine.door.host_acts()
        if self.host_side is not None:
            self.host_side.send_frame(frame)
            self.machine.attend()

    def page_at_power_on(self, page: int) -> bytes:
        """What the images put into a page of RAM, by number."""
        return page_of_images(self.placement, page)

    def images_in(self, address: int, size: int) -> tuple[str, ...]:
        """The names of the images that put something into a physical range, at power-on and at a reset."""
        return self.placement.names_in(address, size)

    def digest(self) -> str:
        """SHA-256, in hex, of everything the guest can see: see Machine.digest."""
        return self.machine.digest()

    def report(self, outcome: Outcome, recent: Sequence[int] = ()) -> str:
        """Several lines on why a run got nowhere; ``recent`` are the PCs of the last instructions, where known."""
        return report(self.machine, outcome, self.symbols, recent)

    @cached_property
    def logs(self) -> Logs:
        """What opens logs of the run."""
        from minstret.emu.logs import Logs  # imported here: most runs have none

        return Logs(self.machine, self.plic, self.assembly.sources)

    def again(self) -> Board:
        """A board that is made in the same way, at power-on, without a host."""
        images, is_bare = self.images, self.images.is_bare
        return Board(
            None if is_bare else self.firmware, self.config, kernel=self.firmware.file if is_bare else images.kernel,
            initrd=images.initrd, append=images.append, loads=images.loads, files=self._files, script=self._script,
            endings=self._endings, devices=[again(device) for device in self._own],
        )  # fmt: skip

    # ---- putting it together

    def _machine_config(self) -> MachineConfig:
        config = self.config
        return MachineConfig(
            cpu=self.cpu, ram_base=Base.RAM, ram_size=config.ram_size, rom_base=Base.BOOT_ROM,
            rom_size=BOOT_ROM_SIZE, icount_shift=config.icount_shift,
            mtime_address=Base.CLINT + ClintReg.MTIME, sleep=config.sleep,
            slice_insns_max=config.slice_insns_max, counting=config.counting, harts=config.smp, quantum=config.quantum,
            schedule_seed=config.chaos_seed, reset_ends=config.reset_ends,
        )  # fmt: skip

    def _add_devices(self) -> None:
        """Make what is on the bus; virt.py has the list."""
        machine = self.machine
        own = self._own
        functions = [each for each in own if isinstance(each, VirtioFunction)]
        devices = virt_parts(self.config, self._host, functions, has_sstc=self.cpu.has("sstc"))
        ours = [each for each in devices if not (isinstance(each, VirtioMmio) and each.function in own)]
        check_own(own, ours)
        self.plic = _only(Plic, devices)
        self.assembly = Assembly(machine, self.plic, self.config.seed)
        for device in devices:
            name = device.function.name if isinstance(device, VirtioMmio) and device.function in own else None
            self.assembly.add(device, None if name is None else Guard(name, self._read_icount))
        for each in own:
            if isinstance(each, Device):
                self.assembly.add(each, Guard(each.name, self._read_icount))
        self.clint, self.uart, self.rtc = _only(Clint, devices), _only(Uart16550, devices), _only(GoldfishRtc, devices)
        functions = [device.function for device in devices if isinstance(device, VirtioMmio)]
        self.card = next((function for function in functions if isinstance(function, VirtioNet)), None)
        self.net = NetPort(self.card, self._send_frame)
        self.inputs = _input_devices(functions)
        with_host_side = [*(device for device in devices if isinstance(device, VirtioMmio)), *own]
        self._host_side_irqs = [
            each.irq for each in with_host_side if isinstance(each, Device) and each.irq is not None
        ]
        self.clint.stimecmp = lambda number: self.harts[number].core.supervisor_deadline
        if self.cpu.has("sstc"):
            for hart in self.harts:
                hart.core.on_stimecmp = partial(self.clint.stimecmp_written, hart.hart_id)
        machine.time_delta = lambda: self.clint.mtime_delta

    def _add_services(self) -> None:
        """Make what firmware may call: semihosting, and HTIF where the firmware has its words in RAM."""
        machine, config = self.machine, self.config
        self._input = Console(machine, self.uart)
        transmit = self.assembly.stream(CONSOLE_STREAM).send
        command_line = " ".join(filter(None, (Path(self.firmware.name).name, config.arguments)))
        self.semihosting = self._input.semihosting = Semihosting(
            self.harts, machine.clock, self.rtc.time_ns, machine.request_exit, transmit, self.uart.take_received,
            self._input.call_must_wait,
            GuestFiles(self._host.files, machine.door.ask, machine.door.sent),
            Surroundings(
                command_line.encode(errors="surrogateescape"), self.placement.free_ram(config.ram_size),
                config.host_files,
            ),
        )  # fmt: skip
        if self.images.kernel is not None:  # OpenSBI, below it, would take it as its console, and a read stops time
            for hart in self.harts:
                hart.on_semihosting = None
        self.assembly.add(self.semihosting)
        self.htif: Htif | None = None
        tohost, symbol = self.firmware.tohost, self.firmware.symbols.find("fromhost")
        if tohost is not None and self._in_ram(tohost, 8):
            fromhost = symbol.address if symbol is not None and self._in_ram(symbol.address, 8) else None
            self.htif = self._input.htif = Htif(
                machine, tohost, fromhost, machine.request_exit, transmit, self.uart.take_received,
                self._input.on_htif_request,
            )  # fmt: skip
            self.assembly.add(self.htif)
        self.assembly.connect(CONSOLE_TARGET, self._input.receive)
        machine.on_end_of_input = self.semihosting.end_of_input
        self._wake_ups = WakeUps(
            self.harts, self.plic, self._input, self._host_side_irqs, has_keyboard=KEYBOARD in config.inputs
        )
        machine.input_can_wake = self._wake_ups.by_input

    def _listen(self) -> None:
        """Hear what the guest sends to its console, and what crosses its card."""
        listeners = self.assembly.stream(CONSOLE_STREAM).listeners
        listeners.append(self._keep_sent)
        if self._on_console is not None:
            listeners.append(self._on_console)
        if self.card is not None:
            self.assembly.stream(NET_STREAM).listeners.append(self.net.hear)
            for listeners in (self.assembly.stream(NET_STREAM).listeners, self.assembly.inlets[NET_TARGET].listeners):
                listeners.append(lambda frame: self.on_frame(frame))

    def _add_host_side(self) -> None:
        config, machine, door = self.config, self.machine, self.machine.door
        self.host_side = host_side = HostSide(
            self.assembly, host_side_timers(self.timer_model, machine), net=config.net, seed=config.seed,
            chaos_seed=config.chaos_seed, inputs=config.inputs, files=self._files, script=self._script,
        )  # fmt: skip
        drop_attributes(self.timer_model, machine)
        line = self._input.add_line(config.icount_shift, config.chaos_seed)
        line.ask, line.may_come = door.look, lambda: door.source_is_open
        door.use(diversion=line)
        if self._script:
            door.use(schedule=host_side.script)
        self._add_expectations(host_side, line)

    def _add_expectations(self, host_side: HostSide, line: SerialLine) -> None:
        """Let the script talk to the console, and have the run end by what the guest says."""
        machine, script = self.machine, host_side.script
        if script.uses_console and self.timer_model.name != TIMER_MODELS[0]:
            raise ConfigError(f"an input script can't use the console with the timer model {self.timer_model.name}")
        script.send = line.type
        self.expectations = expectations = Expectations(
            self._endings, script, machine.virtual_timers, machine.door.post, self.console
        )
        machine.parts.add_host("expectations", expectations.matcher)
        machine.before_end, machine.on_blocked = expectations.before_end, script.hurry
        machine.host_side_can_wake = self._host_side_can_wake
        listeners = self.assembly.stream(CONSOLE_STREAM).listeners
        if script.expects:
            listeners.append(script.hear)
        if self._endings:
            listeners.append(expectations.hear)

    def _host_side_can_wake(self) -> bool:
        """Whether what comes of the timers of the host side could end a hart's wait."""
        assert self.host_side is not None
        script, armed = self.host_side.script, self.machine.virtual_timers.armed()
        if script.will_send and self._wake_ups.by_input():
            return True
        return self._wake_ups.by_host_side() and any(each.is_external and each is not script.limit for each in armed)

    def meet_host(self) -> None:
        """Call it when a state was loaded, with another host: that may have another script, or more input."""
        assert self.host_side is not None
        assert self._input.line is not None
        self.host_side.script.go_on()
        self._input.line.go_on()

    def interrupt_counts(self) -> list[InterruptCount]:
        """How often each source of the PLIC was claimed, since the board was made."""
        levels, claimed = self.plic.state.levels, self.plic.counts.claimed
        return [
            InterruptCount(source, name, claimed[source], bool(levels >> source & 1))
            for source, name in sorted(self.assembly.sources.items())
        ]

    def interrupt_sources(self) -> list[SourceState]:
        """How each source of the PLIC stands that a device has."""
        return [self.plic.source_state(source, name) for source, name in sorted(self.assembly.sources.items())]

    def _read_icount(self) -> int:
        return self.hart.icount

    def _make_tree(self, initrd: tuple[int, int] | None) -> bytes:
        rng_seed = self.assembly.generator("rng-seed").randbytes(_RNG_SEED_SIZE)
        config = self.config
        described = Described(self.cpu, config.ram_size, rng_seed, self.images.append, initrd, config.smp)
        return device_tree(described, self.assembly.nodes())

    @property
    def device_tree(self) -> bytes:
        """The DTB the guest gets."""
        return next(bytes(s.data) for s in self.placement.segments if s.address == self.placement.tree)

    @takes_pieces
    def _keep_sent(self, data: bytes) -> None:
        self.console += data

    def _in_ram(self, address: int, size: int) -> bool:
        return address >= Base.RAM and address + size <= Base.RAM + self.config.ram_size


def _input_devices(functions: Sequence[VirtioFunction]) -> dict[str, VirtioInput]:
    """The keyboard and the tablet, by their kinds."""
    if not any(function.device_id == DeviceId.INPUT for function in functions):
        return {}
    from minstret.devices.virtio.input import VirtioInput  # imported here: few boards have one

    return {function.name.rstrip("0"): function for function in functions if isinstance(function, VirtioInput)}


def _only(kind: type[P], parts: Sequence[object]) -> P:
    """The one part of that kind."""
    (part,) = (part for part in parts if isinstance(part, kind))
    return part


def _image(source: str | Path | ImageFile | None) -> ImageFile | None:
    return source if source is None or isinstance(source, ImageFile) else read_image(source)


def _boot_images(
    firmware: str | Path | ImageFile | Firmware | None, kernel: ImageFile | None, initrd: ImageFile | None,
    append: str, loads: Sequence[Load], ram_size: int,
) -> BootImages:  # fmt: skip
    is_bare = firmware is None
    first = kernel if firmware is None else firmware
    if first is None:
        raise ConfigError("without firmware there must be a kernel")
    bios = first if isinstance(first, Firmware) else load_firmware(first, Base.RAM, ram_size)
    return BootImages(bios, None if is_bare else kernel, initrd, append, tuple(loads), is_bare)
