"""What a part is by default, and the registry of parts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from minstret.emu.fdt import u64
from minstret.emu.part import Device, Part, Parts, Phandle, copied_states, load_states, state_types


@dataclass(slots=True)
class LampState:
    is_on: bool = False


class Lamp(Device):
    compatible = "example,lamp"

    def __init__(self, base: int = 0x1006_0000, irq: int | None = None, name: str = "") -> None:
        super().__init__(base, irq, name)
        self.state = LampState()


def test_device_is_called_after_its_class_unless_it_is_told_a_name() -> None:
    assert (Lamp().name, Lamp(name="red0").name) == ("lamp0", "red0")


def test_device_remembers_what_it_was_made_with() -> None:
    assert Lamp(0x1006_1000, name="red0").made_with == ((0x1006_1000,), {"name": "red0"})


def test_registers_read_zero_and_writes_do_nothing_by_default() -> None:
    lamp = Lamp()
    lamp.write(0, 4, 7)

    assert lamp.read(0, 4) == 0


def test_reset_makes_a_new_state() -> None:
    lamp = Lamp()
    lamp.state.is_on = True

    lamp.reset()

    assert lamp.state == LampState()


def test_node_has_window_and_interrupt() -> None:
    node = Lamp(irq=12).node()

    assert node is not None
    assert node.name == "lamp@10060000"
    assert node.properties == {
        "compatible": "example,lamp", "reg": u64(0x1006_0000, 0x1000), "interrupt-parent": Phandle.PLIC,
        "interrupts": 12,
    }  # fmt: skip


def test_node_without_interrupt_or_compatible() -> None:
    class Plain(Lamp):
        compatible = ""

    node = Plain().node()

    assert node is not None
    assert node.properties == {"compatible": "minstret,plain", "reg": u64(0x1006_0000, 0x1000)}


def test_a_part_that_is_no_device_has_no_node_no_inner_parts_and_no_host_side() -> None:
    part = Part()

    assert part.node() is None
    assert list(part.parts()) == []
    assert part.host_side(None) is None  # type: ignore[arg-type]


def test_registry_knows_parts_by_name_and_each_once() -> None:
    parts, lamp = Parts(), Lamp()
    parts.add("lamp0", lamp)
    parts.add_host("lamp0.host", lamp)

    assert state_types(parts.guest) == {"lamp0": LampState}
    with pytest.raises(AssertionError):
        parts.add("lamp0", Lamp())


def test_states_are_copied_out_and_in() -> None:
    first, second = Lamp(), Lamp()
    states = copied_states({"lamp0": first})
    first.state.is_on = True
    assert states == {"lamp0": LampState()}

    load_states({"lamp0": second}, {"lamp0": first.state})

    assert second.state == first.state
    assert second.state is not first.state
