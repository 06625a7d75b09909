"""Whether what comes from the host side could end a hart's wait. If nothing could, the guest waits forever."""

from __future__ import annotations

from collections.abc import Sequence

from minstret.devices.board.console import Console
from minstret.devices.board.map import IRQ
from minstret.devices.chips.plic import Plic
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import Interrupt

_EXTERNAL_INTERRUPTS = 1 << Interrupt.MEI | 1 << Interrupt.SEI


class WakeUps:
    """Which interrupts the host side may raise, and whether the guest has enabled one of them."""

    def __init__(
        self, harts: Sequence[Hart], plic: Plic, console: Console, irqs: Sequence[int], *, has_keyboard: bool
    ) -> None:  # fmt: skip
        """Look at ``plic`` and ``harts``.

        Args:
            harts: Those that wait, all there are.
            plic: Says which sources are enabled.
            console: Says whether the UART would interrupt for a character.
            irqs: The sources of devices that have something on the host side: virtio slots, devices of users.
            has_keyboard: Whether what is typed may go to a keyboard, one of these devices.
        """
        self._harts, self._plic, self._console = harts, plic, console
        self._irqs = sum(1 << irq for irq in set(irqs))
        self._typed_irqs = self._irqs if has_keyboard else 0

    def by_input(self) -> bool:
        """Whether something that is typed would interrupt."""
        uart = 1 << IRQ.UART0 if self._console.may_interrupt() else 0
        return self._are_enabled(self._typed_irqs | uart)

    def by_host_side(self) -> bool:
        """Whether something that EXTERNAL timers bring would interrupt."""
        return self._are_enabled(self._irqs)

    def _are_enabled(self, irqs: int) -> bool:
        """Whether any of these PLIC sources, as bits, would end a hart's wait."""
        enabled = self._plic.enabled
        return any(
            hart.env.mie & _EXTERNAL_INTERRUPTS and (enabled(2 * number) | enabled(2 * number + 1)) & irqs
            for number, hart in enumerate(self._harts)
        )
