"""What a part gets when it is put into a machine, and what the machine knows of it then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError
from minstret.emu.machine import Machine, MachineConfig
from minstret.emu.part import Device, HostWiring, Part, Wiring
from minstret.emu.timers import TimerAttribute
from minstret.emu.wiring import Assembly, PartHostWiring, PartWiring

BASE = 0x1006_0000


@dataclass(slots=True)
class BellState:
    rings: int = 0


class Bell(Device):
    def __init__(self, name: str = "bell0", base: int = BASE) -> None:
        super().__init__(base, 12, name)
        self.state = BellState()
        self.seen: list[object] = []

    def attach(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.line = wiring.irq()
        self.ring = wiring.output("ring")
        self.timer = wiring.timer("tick", lambda late_ns: self.seen.append("tick"))
        wiring.input("cord", self._on_cord)

    def _on_cord(self, data: bytes) -> None:
        self.state.rings += len(data)

    def host_side(self, host: HostWiring) -> Ringer:
        return Ringer(host)


class Ringer:
    def __init__(self, host: HostWiring) -> None:
        self.state = BellState()
        self.heard: list[bytes] = []
        self.timer = host.timer("pull", lambda late_ns: host.post("cord", b"x"))
        host.listen("ring", self.heard.append)


class Pair(Part):
    name = "pair0"

    def __init__(self) -> None:
        self.state = BellState()
        self.inner = Bell("inner0", BASE + 0x1000)

    def parts(self) -> tuple[Part, ...]:
        return (self.inner,)


class Controller:
    def __init__(self) -> None:
        self.levels: list[tuple[int, bool]] = []

    def set_source(self, source: int, level: bool) -> None:
        self.levels.append((source, level))


def assembled(*parts: Part) -> tuple[Assembly, Machine, Controller]:
    machine, controller = Machine(MachineConfig(ram_size=1 << 20)), Controller()
    assembly = Assembly(machine, controller, seed=5)
    for part in parts:
        assembly.add(part)
    return assembly, machine, controller


def test_names_begin_with_the_parts() -> None:
    bell = Bell()
    assembly, machine, _ = assembled(bell)

    assert list(machine.lines) == ["bell0.irq"]
    assert list(assembly.inlets) == ["bell0.cord"]
    assert list(assembly.streams) == ["bell0.ring"]
    assert [timer.name for timer in machine.virtual_timers.timers()] == ["bell0.tick"]
    assert machine.parts.guest == {"bell0": bell}
    assert assembly.sources == {12: "bell0"}


def test_line_leads_to_the_interrupt_controller() -> None:
    bell = Bell()
    _, _, controller = assembled(bell)

    bell.line.set_level(True)

    assert controller.levels == [(12, True)]


def test_registers_are_on_the_bus() -> None:
    _, machine, _ = assembled(Bell())

    assert [(window.base, window.size) for window in machine.bus.windows] == [(BASE, 0x1000)]


def test_what_is_posted_goes_to_the_sink_which_takes_all_unless_it_says_so() -> None:
    bell = Bell()
    _, machine, _ = assembled(bell)
    machine.door.post(Event("bell0.cord", b"abc"))

    machine.door.admit(machine.position)

    assert bell.state.rings == 3
    assert not machine.door.holds_input


def test_listeners_hear_what_is_sent_and_what_comes_in() -> None:
    bell, heard = Bell(), []  # type: ignore[var-annotated]
    assembly, machine, _ = assembled(bell)
    assembly.stream("bell0.ring").listeners.append(heard.append)
    assembly.inlets["bell0.cord"].listeners.append(heard.append)

    bell.ring(b"out")
    machine.door.post(Event("bell0.cord", b"in"))
    machine.door.admit(machine.position)

    assert heard == [b"out", b"in"]


def test_host_side_hears_and_posts_by_an_external_timer() -> None:
    bell = Bell()
    assembly, machine, _ = assembled(bell)
    assembly.make_host_sides(machine.virtual_timers, machine.door.post)
    ringer: Any = machine.parts.host["bell0.host"]

    bell.ring(b"dong")
    ringer.timer.arm(0)
    machine.virtual_timers.run_expired()
    machine.door.admit(machine.position)

    assert ringer.heard == [b"dong"]
    assert ringer.timer.attributes is TimerAttribute.EXTERNAL
    assert bell.state.rings == 1


def test_parts_within_a_part_are_attached_but_reset_by_it() -> None:
    pair = Pair()
    assembly, machine, _ = assembled(pair)

    assert set(machine.parts.guest) == {"pair0", "inner0"}
    assert assembly.parts == [pair]
    pair.inner.state.rings = 2
    assembly.reset()
    assert pair.inner.state.rings == 2


def test_each_name_has_a_generator_of_its_own_from_the_seed() -> None:
    bell = Bell()
    assembled(bell)

    draws = [bell.wiring.generator(name).randbytes(8) for name in ("a", "b")]

    assert draws[0] != draws[1]


def test_states_of_generators_are_called_after_the_part_and_are_the_machines() -> None:
    bell = Bell()
    assembly, machine, _ = assembled(bell)
    for name in ("", "a"):
        bell.wiring.generator(name)
        PartHostWiring(assembly, bell, machine.virtual_timers, machine.door.post, None).generator(name)

    assert sorted(machine.parts.guest) == ["bell0", "bell0.a.random", "bell0.random"]
    assert sorted(machine.parts.host) == ["bell0.host.a.random", "bell0.host.random"]


def test_what_a_part_draws_is_the_same_again_in_a_restored_machine() -> None:
    bell = Bell()
    _, machine, _ = assembled(bell)
    generator = bell.wiring.generator()
    saved = machine.save_state()

    drawn = generator.randbytes(8)
    assert generator.randbytes(8) != drawn
    machine.load_state(saved)
    assert generator.randbytes(8) == drawn


class Greedy(Device):
    """Asks for what its ``ask`` says."""

    def __init__(self, ask: Callable[[Wiring], object], irq: int | None = None) -> None:
        super().__init__(BASE, irq, "greedy0")
        self.state = BellState()
        self._ask = ask

    def attach(self, wiring: Wiring) -> None:
        self._ask(wiring)


@pytest.mark.parametrize(
    ("device", "error"),
    [
        (Greedy(lambda wiring: wiring.irq()), "greedy0: it asks for its interrupt line, and has none: give it an irq"),
        (Greedy(lambda wiring: (wiring.irq(), wiring.irq()), 3), "greedy0.irq: this line was asked for before"),
        (
            Greedy(lambda wiring: (wiring.generator(), wiring.generator())),
            "greedy0.random: this generator was asked for before; keep what the first call gave",
        ),
        (
            Greedy(lambda wiring: [wiring.cached_register(4 * at, 4) for at in range(9)]),
            "there can be 4 cached registers on a board, and all are in use",
        ),
        (
            Greedy(lambda wiring: wiring.hart_line("nmi")),
            "^greedy0: no line 'nmi' leads to a hart; there are msip, mtip, meip, seip, stip$",
        ),
        (Greedy(lambda wiring: wiring.hart_line("msip", 1)), "^greedy0: there is no hart 1; the board has 1$"),
        (Greedy(lambda wiring: wiring.cached_register(0, 4, -1)), "^greedy0: there is no hart -1; the board has 1$"),
    ],
    ids=["no-irq", "irq-twice", "generator-twice", "cached-registers", "no-line", "no-hart", "no-hart-to-tell"],
)
def test_what_a_part_can_not_have_is_said_in_one_line(device: Device, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        assembled(device)


def test_part_without_registers_has_no_cached_ones() -> None:
    pair = Pair()
    assembly, _, _ = assembled(pair)

    with pytest.raises(ConfigError, match=r"^pair0: only a part with registers of its own has cached registers$"):
        PartWiring(assembly, pair, None).cached_register(0, 4)
