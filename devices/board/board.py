"""The board: QEMU's ``virt`` memory map on one hart. The only file that knows every device.

with the command:   minstret run firmware.elf
from Python:        board = Board("firmware.elf"); board.run_until(uart="login:")
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from minstret.devices.board.map import BOOT_ROM_SIZE, IRQ, VIRTIO_SLOTS, Base, virtio_base
from minstret.devices.board.placement import BootImages, Load, Placement, place
from minstret.devices.board.tree import Described, device_tree
from minstret.devices.chips.clint import Clint
from minstret.devices.chips.clint import Reg as ClintReg
from minstret.devices.chips.finisher import Finisher
from minstret.devices.chips.plic import Plic
from minstret.devices.chips.rtc import GoldfishRtc
from minstret.devices.chips.uart16550 import Ier, Uart16550
from minstret.devices.chips.uart16550 import Reg as UartReg
from minstret.devices.outside.chaos import Chaos, delay_ns
from minstret.devices.outside.hostinput.script import ScriptLine
from minstret.devices.outside.hostside import INPUTS, KEYBOARD, NET_TARGET, TABLET, NetConfig, Outside, input_target
from minstret.devices.outside.serial_line import SerialLine
from minstret.devices.outside.usernet.config import Files
from minstret.devices.services.guestfiles import Folder, GuestFiles
from minstret.devices.services.htif import Htif
from minstret.devices.services.semihosting import Semihosting, Surroundings
from minstret.devices.virtio.input import VirtioInput, keyboard, tablet
from minstret.devices.virtio.mmio import LEGACY, MODERN, EmptySlot, Function, VirtioMmio
from minstret.devices.virtio.net import VirtioNet
from minstret.devices.virtio.rng import VirtioRng
from minstret.emu import units
from minstret.emu.clock import ClockType
from minstret.emu.door.door import Door, Position
from minstret.emu.errors import ConfigError
from minstret.emu.hart.engine import RAM_MAX
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import PAGE_SIZE, Counting
from minstret.emu.hart.spec import PRIV_S, Interrupt
from minstret.emu.hart.views import Memory, Registers
from minstret.emu.images.loader import Firmware, ImageFile, load_firmware, read_image
from minstret.emu.irq import IrqLine
from minstret.emu.machine import SLICE_INSNS_MAX, Machine, MachineConfig, Outcome
from minstret.emu.part import Device
from minstret.emu.report import InterruptCount, report
from minstret.emu.timers import TimerList

DEFAULT_RAM_SIZE = 128 * units.MIB
DEFAULT_ICOUNT_SHIFT = 1
DEFAULT_RTC_BASE_NS = 1_538_352_000 * units.NS_PER_S
"""2018-10-01 00:00:00 UTC: a fixed date, so that runs agree."""
DEFAULT_XLEN = 64

CONSOLE_TARGET = "uart0.rx"

ENTROPY = ("seed", "host", "none")
"""Where the guest's random bytes come from; ``none`` leaves the device away."""

TIMER_MODELS = ("attributes", "virtual-ext", "no-attributes")
"""EXTERNAL is a property of a timer (ours); of a second clock, whose timers a host thread runs; of nothing."""

_RNG_SEED_SIZE = 32
_CLEARED_SIZE = 64 * units.KIB
_HASH_SIZE = 32
_DESCRIPTORS_A_CALL = 8
"""Reading so many takes about as long as a plain access to a device."""
_FW_DYNAMIC_MAGIC, _FW_DYNAMIC_VERSION = 0x4942534F, 2


class ResettableDevice(Device, Protocol):
    """A device that has a reset line."""

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """What a board is made of. Sizes in bytes, times in ns.

    ``xlen`` None: from the ELF, 64 for a raw binary. ``rtc_base_ns`` counts from 1970; with ``rtc_follows_host``
    the wall clock goes with the host's, else with virtual time. ``net`` and ``inputs`` (of INPUTS) fill the virtio
    slots from the last one down, in this order, then the entropy source: ``entropy`` is one of ENTROPY. With a
    ``chaos_seed`` what comes from outside is delayed; see outside/chaos.py. ``timer_model`` is one of TIMER_MODELS.
    ``host_files``: semihosting has files, those of HostAnswers; ``arguments`` follow the firmware's name in the command
    line that it gives.
    """

    xlen: int | None = None
    ram_size: int = DEFAULT_RAM_SIZE
    icount_shift: int = DEFAULT_ICOUNT_SHIFT
    sleep: bool = False
    rtc_base_ns: int = DEFAULT_RTC_BASE_NS
    rtc_follows_host: bool = False
    seed: int = 0
    slice_insns_max: int | None = SLICE_INSNS_MAX
    counting: Counting = Counting.BLOCKS
    net: NetConfig | None = None
    inputs: tuple[str, ...] = ()
    virtio_legacy: bool = False
    entropy: str = "seed"
    chaos_seed: int | None = None
    timer_model: str = "attributes"
    host_files: bool = False
    arguments: str = ""


@dataclass(slots=True)
class HostAnswers:
    """What the host is asked for: its time, random bytes, files. The default has none, so nothing depends on it."""

    realtime_ns: Callable[[], int] = field(default=lambda: 0)
    wall_ns: Callable[[], int] = field(default=lambda: 0)
    entropy: Callable[[int], bytes] = field(default=bytes)
    files: Folder | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a board is made of: its configuration, what it boots, and what its outside has at hand.

    ``bios`` None: the kernel runs first, in M-mode. ``loads`` are further files to put into memory.
    """

    config: BoardConfig
    bios: ImageFile | None
    kernel: ImageFile | None = None
    initrd: ImageFile | None = None
    append: str = ""
    files: Files | None = None
    script: tuple[ScriptLine, ...] = ()
    loads: tuple[Load, ...] = ()

    def make(
        self, *, door: Door | None = None, host: HostAnswers | None = None,
        on_console: Callable[[bytes], None] | None = None, has_host_side: bool = True,
    ) -> Board:  # fmt: skip
        """Make the board; see Board."""
        return Board(
            self.bios, self.config, kernel=self.kernel, initrd=self.initrd, append=self.append, loads=self.loads,
            files=self.files, script=self.script, door=door, host=host, on_console=on_console,
            has_host_side=has_host_side,
        )  # fmt: skip


class Board:
    """A machine with firmware in it, ready to run from power-on.

    Attributes:
        machine: The loop, the clocks and the timers.
        hart: The CPU.
        registers: Registers by name: ``pc``, ``x5`` or ``t0``, ``f3``, ``mstatus``...
        memory: Physical memory: ``board.memory[0x8000_0000:0x8000_0010]`` reads, assignment writes.
        console: Every byte the guest has sent.
        outside: What stands before the door: the user network, the input queue. A replay has none.
        outside_lock: Held while the guest's frames go into the user network.
        second_clock_timers: The timers of the rejected model's second clock, which somebody has to run.
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
        has_host_side: bool = True,
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
            script: What keyboard and tablet do when.
            has_host_side: Whether there are a user network, an input queue and so on. A replay has none: the trace says
                what comes from them.
        Raises:
            ConfigError: the firmware or the configuration is no good; the text says why.
        """
        config = config or BoardConfig()
        self.images = _boot_images(firmware, _image(kernel), _image(initrd), append, loads, config.ram_size)
        self.firmware = self.images.bios
        self.config = replace(config, xlen=_choose_xlen(self.firmware, config.xlen))
        self._check_ram_size()
        self._check_choices()
        self._host = host or HostAnswers()
        self.machine = Machine(self._machine_config(), door=door, realtime_ns=self._host.realtime_ns,
                               host_ns=self._host.wall_ns)  # fmt: skip
        self.hart: Hart = self.machine.hart
        self.console = bytearray()
        self._on_console = on_console
        self._awaited = b""
        self.on_frame: Callable[[bytes], None] = lambda frame: None
        self._files, self._script = files, tuple(script)
        self._has_host_side = has_host_side
        self.outside: Outside | None = None
        self.outside_lock: AbstractContextManager[object] = nullcontext()
        self.second_clock_timers: TimerList | None = None
        self._source_names: dict[int, str] = {}
        self._attach_devices()
        self.registers = Registers(self.hart)
        self.memory = Memory(self.hart)
        self.placement: Placement = place(self.images, self.hart.xlen, self.config.ram_size, self._make_tree)
        self.symbols = self.firmware.symbols.with_others(*self.placement.others)
        self._load_images()
        self.hart.reset(Base.BOOT_ROM)
        self.htif = self._make_htif()
        self.machine.on_reset = self.reset
        self.semihosting = self._make_semihosting()
        if self.images.kernel is not None:  # OpenSBI, below it, would take it as its console, and a read stops time
            self.hart.on_semihosting = None
        self.machine.parts.add("semihosting", self.semihosting)
        self.machine.on_end_of_input = self.semihosting.end_of_input
        self.machine.input_can_wake = lambda: self._can_interrupt(*self._host_irqs())
        self.machine.outside_can_wake = lambda: self._can_interrupt(*self._slot_irqs)
        self.machine.door.connect(CONSOLE_TARGET, self._receive)

    # ---- running

    @property
    def position(self) -> Position:
        return self.machine.position

    def run(self) -> Outcome:
        """Run until the guest ends the run, or can't go on."""
        return self.machine.run()

    def run_until(
        self, *, icount: int | None = None, virtual_ns: int | None = None, uart: str | bytes | None = None
    ) -> Outcome:
        """Run until the first of the given conditions holds, or the guest ends the run before.

        Args:
            icount: So many instructions have retired since power-on.
            virtual_ns: Virtual time is there, or just past it.
            uart: The guest has sent this text since the call.
        """
        self._awaited = uart.encode() if isinstance(uart, str) else uart or b""
        self._awaited_from = len(self.console)
        try:
            return self.machine.run(icount=icount, virtual_ns=virtual_ns)
        finally:
            self._awaited = b""

    def reset(self) -> None:
        """Reset as the board's reset button would: icount and virtual time go on."""
        for device in self._devices:
            device.reset()
        self.semihosting.reset()
        if self.htif is not None:
            self.htif.reset()
        self._load_images()
        self.hart.reset(Base.BOOT_ROM)

    def digest(self) -> str:
        """SHA-256, in hex, of everything the guest can see: see Machine.digest."""
        return self.machine.digest()

    def report(self, outcome: Outcome, recent: Sequence[int] = ()) -> str:
        """Several lines on why a run got nowhere; ``recent`` are the PCs of the last instructions, where known."""
        return report(self.machine, outcome, self.symbols, recent)

    def retrace(self, insns: int) -> list[int]:
        """The PCs of the last ``insns`` instructions, found by running all again in a second board.

        That is the same run as long as nothing came through the door and nobody wrote registers or memory.
        """
        end = self.position.icount
        images, is_bare = self.images, self.images.is_bare
        again = Board(
            None if is_bare else self.firmware, self.config, kernel=self.firmware.file if is_bare else images.kernel,
            initrd=images.initrd, append=images.append, loads=images.loads, files=self._files, script=self._script,
        )  # fmt: skip
        again.run_until(icount=max(0, end - insns))
        pcs = []
        while again.position.icount < end:
            pcs.append(again.hart.pc)
            again.run_until(icount=again.position.icount + 1)
        return pcs

    def generator(self, name: str) -> random.Random:
        """A generator of its own for everything that would otherwise be random, from the seed."""
        return random.Random(f"{self.config.seed}/{name}")

    # ---- putting it together

    def _machine_config(self) -> MachineConfig:
        config = self.config
        return MachineConfig(
            xlen=config.xlen or DEFAULT_XLEN, ram_base=Base.RAM, ram_size=config.ram_size, rom_base=Base.BOOT_ROM,
            rom_size=BOOT_ROM_SIZE, icount_shift=config.icount_shift,
            mtime_address=Base.CLINT + ClintReg.MTIME, sleep=config.sleep,
            slice_insns_max=config.slice_insns_max, counting=config.counting,
        )  # fmt: skip

    def _attach_devices(self) -> None:
        machine, virtual = self.machine, self.machine.timers[ClockType.VIRTUAL]

        def hart_line(name: str, interrupt: Interrupt) -> IrqLine:
            return self._line(name, partial(self.hart.set_line, interrupt))

        mtimecmp = [self.hart.cached_register(Base.CLINT + ClintReg.MTIMECMP + at, 4) for at in (0, 4)]
        self.clint = Clint("clint", machine.clock, virtual, hart_line("clint.msip", Interrupt.MSI),
                           hart_line("clint.mtip", Interrupt.MTI), mtimecmp)  # fmt: skip
        self.plic = Plic("plic", (hart_line("plic.meip", Interrupt.MEI), hart_line("plic.seip", Interrupt.SEI)))
        self.uart = Uart16550("uart0", virtual, self._plic_line("uart0.irq", IRQ.UART0),
                               lambda byte: self._transmit(bytes((byte,))), machine.room_for_input,
                               self.hart.cached_register(Base.UART0 + UartReg.LSR, 1))  # fmt: skip
        self.serial_line = self._make_serial_line()
        self.rtc = self._make_rtc(self._plic_line("rtc.irq", IRQ.RTC))
        self.finisher = Finisher("finisher", machine.request_exit, machine.request_reset)
        placed: list[tuple[int, ResettableDevice]] = [
            (Base.FINISHER, self.finisher), (Base.RTC, self.rtc), (Base.CLINT, self.clint), (Base.PLIC, self.plic),
            (Base.UART0, self.uart),
        ]  # fmt: skip
        placed += [(virtio_base(slot), device) for slot, device in enumerate(self._make_slots())]
        for base, device in placed:
            machine.attach(base, device)
        self._devices = [device for _, device in placed]
        machine.time_delta = lambda: self.clint.state.mtime_delta

    def _make_htif(self) -> Htif | None:
        """It is there where the firmware has its words, in RAM."""
        machine, tohost, symbol = self.machine, self.firmware.tohost, self.firmware.symbols.find("fromhost")
        if tohost is None or not self._in_ram(tohost, 8):
            return None
        fromhost = symbol.address if symbol is not None and self._in_ram(symbol.address, 8) else None
        htif = Htif(
            self.hart, tohost, fromhost, machine.request_exit, self._transmit, self.uart.take_received,
            self._on_htif_request,
        )  # fmt: skip
        machine.parts.add("htif", htif)
        return htif

    def _on_htif_request(self) -> None:
        if self.serial_line is not None:
            self.serial_line.on_room()
        self.machine.room_for_input()

    def _make_semihosting(self) -> Semihosting:
        machine, config = self.machine, self.config
        command_line = " ".join(filter(None, (Path(self.firmware.name).name, config.arguments)))
        return Semihosting(
            self.hart, machine.clock, self.rtc.time_ns, machine.request_exit, self._transmit, self.uart.take_received,
            self._call_must_wait,
            GuestFiles(self._host.files, machine.door.ask, machine.door.sent),
            Surroundings(
                command_line.encode(errors="surrogateescape"), self.placement.free_ram(config.ram_size),
                config.host_files,
            ),
        )  # fmt: skip

    def _line(self, name: str, on_change: Callable[[bool], None]) -> IrqLine:
        line = self.machine.add_line(IrqLine(name))
        line.connect(on_change)
        return line

    def interrupt_counts(self) -> list[InterruptCount]:
        """How often each source of the PLIC was claimed, since the board was made."""
        levels, claimed = self.plic.state.levels, self.plic.counts.claimed
        return [
            InterruptCount(source, name, claimed[source], bool(levels >> source & 1))
            for source, name in sorted(self._source_names.items())
        ]

    def _plic_line(self, name: str, source: int) -> IrqLine:
        self._source_names[source] = name.removesuffix(".irq")
        return self._line(name, lambda level: self.plic.set_source(source, level))

    def _make_slots(self) -> list[ResettableDevice]:
        """The virtio slots, filled from the last one down."""
        config, machine = self.config, self.machine
        if config.timer_model == "no-attributes":
            machine.virtual_timers.ignores_attributes = True
        if self._has_host_side:
            self._make_outside()
        version = LEGACY if config.virtio_legacy else MODERN
        slots: list[ResettableDevice] = [EmptySlot(f"virtio{slot}", version) for slot in range(VIRTIO_SLOTS)]
        self._slot_irqs: list[int] = []
        for slot, function in zip(reversed(range(VIRTIO_SLOTS)), self._make_functions(), strict=False):
            line = self._plic_line(f"virtio{slot}.irq", IRQ.VIRTIO0 + slot)
            slots[slot] = VirtioMmio(
                f"virtio{slot}", function, HartDma(self.hart), line, machine.virtual_timers, version=version,
                on_work=lambda descriptors: self.hart.charge(descriptors // _DESCRIPTORS_A_CALL),
            )  # fmt: skip
            machine.parts.add(function.name, function)
            self._slot_irqs.append(IRQ.VIRTIO0 + slot)
        return slots

    def _make_outside(self) -> None:
        config, machine = self.config, self.machine
        timers = machine.virtual_timers
        if config.timer_model == "virtual-ext":
            self.second_clock_timers = timers = TimerList(machine.clock)
        post = machine.door.post
        if config.chaos_seed is not None:
            chaos = Chaos("chaos", config.chaos_seed, timers, machine.door.post)
            machine.parts.add_host("chaos", chaos)
            post = chaos.take
        self.outside = Outside(
            post, timers, net=config.net, seed=config.seed, inputs=config.inputs, files=self._files, script=self._script
        )
        for name, part in self.outside.parts().items():
            machine.parts.add_host(name, part)
        if self._script:
            machine.door.use(schedule=self.outside.script)
        self.outside.script.start()

    def _make_serial_line(self) -> SerialLine | None:
        """What the console's input comes in by; a replay has none.

        On VIRTUAL and EXTERNAL whatever the timer model: those compare what a replay can make again, and it has nothing
        of what was typed but when it entered.
        """
        config, machine, door = self.config, self.machine, self.machine.door
        if not self._has_host_side:
            return None
        seed = config.chaos_seed
        line = SerialLine(
            "uart0.line", CONSOLE_TARGET, machine.virtual_timers, shift=config.icount_shift, room=self._input_room,
            interrupts=lambda: bool(self.uart.state.ier & Ier.RX_DATA), post=door.post,
            is_bypassed=lambda: self.semihosting.state.has_console,
            delay_ns=None if seed is None else partial(delay_ns, seed, "console"),
        )  # fmt: skip
        machine.parts.add_host("uart0.line", line)
        self.uart.sender = line
        line.ask, line.may_come = door.look, lambda: door.source_is_open
        door.use(diversion=line)
        return line

    def _make_functions(self) -> list[Function]:
        functions: list[Function] = []
        self.net: VirtioNet | None = None
        if self.config.net is not None:
            self.net = VirtioNet("net0", self.config.net.mac, self._send_frame)
            self.machine.door.connect(NET_TARGET, self._receive_frame)
            functions.append(self.net)
        self.inputs: dict[str, VirtioInput] = {}
        for kind in self.config.inputs:
            device = {KEYBOARD: keyboard, TABLET: tablet}[kind](f"{kind}0")
            device.on_leds = partial(self._on_leds, f"{kind}0.leds")
            self.inputs[kind] = device
            self.machine.door.connect(input_target(kind), device.receive)
            functions.append(device)
        if self.config.entropy != "none":
            functions.append(VirtioRng("rng0", self._draw_entropy))
        return functions

    def _draw_entropy(self, offset: int, size: int) -> bytes:
        """Random bytes for the guest: from the seed, or asked of the host."""
        if self.config.entropy == "host":
            return self.machine.door.ask("entropy", lambda: self._host.entropy(size))[:size]
        first, last = offset // _HASH_SIZE, (offset + size) // _HASH_SIZE
        seed = self.config.seed
        blocks = (hashlib.sha256(f"{seed}/entropy/{number}".encode()).digest() for number in range(first, last + 1))
        return b"".join(blocks)[offset % _HASH_SIZE :][:size]

    def _send_frame(self, frame: bytes) -> None:
        self.on_frame(frame)
        self.machine.door.sent("net0.tx", frame, is_message=True)
        if self.outside is not None and self.outside.network is not None:
            with self.outside_lock:
                self.outside.network.receive(frame)

    def _on_leds(self, stream: str, leds: int) -> None:
        self.machine.door.sent(stream, bytes((leds,)), is_message=True)

    def _receive_frame(self, frame: bytes) -> int:
        assert self.net is not None
        self.on_frame(frame)
        return self.net.receive(frame)

    def _make_rtc(self, line: IrqLine) -> GoldfishRtc:
        """Wall-clock time: virtual time from a fixed start on, or the host's."""
        timers = self.machine.timers
        if self.config.rtc_follows_host:
            return GoldfishRtc("rtc", self.machine.host_clock, timers[ClockType.HOST], 0, line)
        return GoldfishRtc("rtc", self.machine.clock, timers[ClockType.VIRTUAL], self.config.rtc_base_ns, line)

    def _make_tree(self, initrd: tuple[int, int] | None) -> bytes:
        rng_seed = self.generator("rng-seed").randbytes(_RNG_SEED_SIZE)
        return device_tree(Described(self.hart.xlen, self.config.ram_size, rng_seed, self.images.append, initrd))

    @property
    def device_tree(self) -> bytes:
        """The DTB the guest gets."""
        return next(bytes(s.data) for s in self.placement.segments if s.address == self.placement.tree)

    def _receive(self, data: bytes) -> int:
        """Input goes to the UART, or to semihosting or HTIF once that has read."""
        if self.semihosting.state.has_console:
            return self.semihosting.receive(data)
        if self.htif is not None and self.htif.state.has_console:
            return self.htif.receive(data)
        return self.uart.receive(data)

    def _input_room(self) -> int:
        """How many bytes who reads the console can take now."""
        if self.htif is not None and self.htif.state.has_console:
            return self.htif.state.wanted
        return self.uart.room()

    def _call_must_wait(self) -> bool:
        """Whether something has come for the console that a call which reads it does not have yet."""
        return self.machine.door.call_must_wait or (self.serial_line is not None and self.serial_line.holds_input)

    def _host_irqs(self) -> list[int]:
        """The interrupts that what a person types may raise."""
        keyboard_irqs = self._slot_irqs if KEYBOARD in self.config.inputs else []
        uart_can_take = self.uart.state.ier & Ier.RX_DATA and self.uart.room()
        return [*([IRQ.UART0] if uart_can_take else []), *keyboard_irqs]

    def _can_interrupt(self, *irqs: int) -> bool:
        """Whether any of these PLIC sources would end the hart's wait."""
        routed = 0
        for enable in self.plic.state.enable:
            routed |= enable
        is_enabled = self.hart.env.mie & (1 << Interrupt.MEI | 1 << Interrupt.SEI)
        return bool(is_enabled and any(routed >> irq & 1 for irq in irqs))

    def _transmit(self, data: bytes) -> None:
        self.console += data
        self.machine.door.sent("uart0.tx", data)
        if self._on_console is not None:
            self._on_console(data)
        if self._awaited:
            first_end = len(self.console) - len(data) + 1
            if self.console.find(self._awaited, max(self._awaited_from, first_end - len(self._awaited))) >= 0:
                self.machine.reach()

    def _load_images(self) -> None:
        for segment in self.placement.segments:
            self.hart.write_physical(segment.address, segment.data)
            self._clear(segment.address + len(segment.data), segment.end)
        rom = boot_rom(self.hart.xlen, self.placement)
        self.machine.memory.rom[: len(rom)] = rom

    def _clear(self, start: int, end: int) -> None:
        """Make [start, end) zero. What is zero is left alone: it takes no memory of the host until written."""
        for at in range(start, end, _CLEARED_SIZE):
            size = min(_CLEARED_SIZE, end - at)
            if self.hart.read_physical(at, size).count(0) < size:
                self.hart.write_physical(at, bytes(size))

    def _in_ram(self, address: int, size: int) -> bool:
        return address >= Base.RAM and address + size <= Base.RAM + self.config.ram_size

    def _check_ram_size(self) -> None:
        size, largest = self.config.ram_size, RAM_MAX[self.config.xlen or DEFAULT_XLEN]
        if size <= 0 or size % PAGE_SIZE:
            raise ConfigError(f"memory: {size} bytes is not a positive multiple of {PAGE_SIZE}")
        if size > largest:
            raise ConfigError(
                f"memory: {size >> 20} MiB is too much; rv{self.config.xlen} takes up to {largest >> 20} MiB"
            )

    def _check_choices(self) -> None:
        for what, value, known in (
            ("entropy", self.config.entropy, ENTROPY),
            ("timer model", self.config.timer_model, TIMER_MODELS),
        ):
            if value not in known:
                raise ConfigError(f"{what}: expected {', '.join(known)}, got {value!r}")
        inputs = self.config.inputs
        for kind in inputs:
            if kind not in INPUTS:
                raise ConfigError(f"input: expected {' or '.join(INPUTS)}, got {kind!r}")
        if len(set(inputs)) < len(inputs):
            raise ConfigError(f"input: {', '.join(inputs)}: one of a kind is all there can be")


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


def _choose_xlen(firmware: Firmware, wanted: int | None) -> int:
    if firmware.xlen is not None and wanted is not None and wanted != firmware.xlen:
        raise ConfigError(f"{firmware.name}: an rv{firmware.xlen} executable, but --cpu asks for rv{wanted}")
    return firmware.xlen or wanted or DEFAULT_XLEN


def boot_rom(xlen: int, placement: Placement) -> bytes:
    """What runs first: a0 = hart id, a1 = device tree, a2 = OpenSBI's fw_dynamic_info, then the entry point.

    Source: QEMU hw/riscv/boot.c, riscv_setup_rom_reset_vec.
    """
    load = 0x3000 if xlen == 64 else 0x2000  # funct3: ld or lw
    code = (
        0x00000297,  # auipc t0, 0
        0x02828613,  # addi  a2, t0, 40
        0xF1402573,  # csrr  a0, mhartid
        0x02028583 | load,  # l{d,w} a1, 32(t0)
        0x01828283 | load,  # l{d,w} t0, 24(t0)
        0x00028067,  # jr    t0
    )
    words = b"".join(word.to_bytes(4, "little") for word in code)
    addresses = placement.entry.to_bytes(8, "little") + placement.tree.to_bytes(8, "little")
    info = (_FW_DYNAMIC_MAGIC, _FW_DYNAMIC_VERSION, placement.next_entry, PRIV_S, 0, 0)
    return words + addresses + b"".join(word.to_bytes(xlen // 8, "little") for word in info)


class HartDma:
    """Guest memory for devices that master the bus."""

    def __init__(self, hart: Hart) -> None:
        self.read = hart.read_physical
        self.write = hart.write_physical
