"""The line that the console's input comes in by: it stands before the door and sends to the UART.

It holds what has come from the host, and lets one character in at a time, no earlier than the guest can take it:

- Nothing comes before the guest has used its receiver, nor soon after it was set up (FCR, LCR, MCR, the divisor): a
  driver that reads its receiver empty at the start finds nothing in it.
- A character comes only where there is room, and so many instructions after the one before, whatever the divisor says.
  A guest that receives by interrupt has more of them: else its handler would never find the receiver empty, and the
  buffer behind it would overflow.
- After the end of a line a character waits until the guest has read that, and sent nothing for a while: programs that
  read commands may drop what comes while they carry one out, as U-Boot does.
- What a reset of the FIFO or the board throws away unread comes again.

When a character enters follows from what the guest does, as long as the host has one to give. Its timer is EXTERNAL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from minstret.emu.door.door import Event
from minstret.emu.timers import Timer, TimerAttribute, TimerList

POLLED_INSNS, INTERRUPTING_INSNS = 64, 4096
"""From one character to the next, as the guest polls or is interrupted: with shift 1, 0.13 and 8.2 us."""

SETTLE_INSNS = 16 * INTERRUPTING_INSNS
"""From the last write that sets the receiver, and from when the end of a line is read, up to the next character."""

TURNAROUND_INSNS = 128 * INTERRUPTING_INSNS
"""From what the guest sends after the end of a line up to the next character: with shift 1, 1 ms."""

_LINE_ENDS = b"\r\n"
_LOOPED = -1


@dataclass(slots=True)
class SerialLineState:
    """What is on its way. Times in ns.

    ``held`` came from the host; ``unread`` is what the receiver's FIFO has, -1 for bytes of the guest's own;
    ``next_ns``: nothing enters before; ``asks``: more is wanted of the host; ``is_delayed``: the delay of the next
    character is in ``next_ns``; ``delays``: how many were drawn; ``is_line_over``: the last character ended a line.
    """

    held: bytes = b""
    unread: list[int] = field(default_factory=list)
    next_ns: int = 0
    is_in_use: bool = False
    asks: bool = False
    is_delayed: bool = False
    delays: int = 0
    is_line_over: bool = False


class SerialLine:
    """Takes the console's bytes from the host, and posts them to the door one by one; the UART's ``Sender``."""

    def __init__(
        self, name: str, target: str, timers: TimerList, *, shift: int, room: Callable[[], int],
        interrupts: Callable[[], bool], post: Callable[[Event], None], is_bypassed: Callable[[], bool],
        delay_ns: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        """Make an idle line.

        Args:
            name: Its timer's.
            target: The door's target whose events it takes.
            timers: The VIRTUAL ones.
            shift: An instruction lasts ``2 ** shift`` ns.
            room: How many bytes the receiver can take now.
            interrupts: Whether the receiver interrupts for what comes.
            post: Hands a character to the door.
            is_bypassed: Whether somebody else reads the console now, and gets what comes at once.
            delay_ns: How much longer the nth character waits (chaos).
        """
        self.state = SerialLineState()
        self._target = target
        self._timers = timers
        self._shift = shift
        self._room, self._interrupts, self._post, self._is_bypassed = room, interrupts, post, is_bypassed
        self.ask: Callable[[], None] = lambda: None
        """Makes the door look for more from the host before the next instruction."""
        self.may_come: Callable[[], bool] = lambda: False
        """Whether the host may still give something."""
        self._delay_ns = delay_ns
        self._timer = Timer(name, timers, self._on_timer, TimerAttribute.EXTERNAL)

    # ---- the door's side: see Diversion

    @property
    def holds_input(self) -> bool:
        return bool(self.state.held)

    def wants_input(self, is_door_empty: bool) -> bool:
        return not self.state.held and (self.state.asks or (is_door_empty and self._is_bypassed()))

    def divert(self, event: Event) -> bool:
        state = self.state
        if event.target != self._target or (self._is_bypassed() and not state.held):
            return False
        state.held += event.data
        state.asks = False
        self._schedule()
        return True

    def recall(self) -> bool:
        """Post all at once where the guest reads past the line while time stands still; whether there was anything."""
        if not self.state.held or not self._is_bypassed():
            return False
        held, self.state.held = self.state.held, b""
        self._post(Event(self._target, held))
        return True

    # ---- the UART's side: see Sender

    def on_use(self) -> None:
        if not self.state.is_in_use:
            self._keep_quiet(POLLED_INSNS)

    def on_set_up(self) -> None:
        self._keep_quiet(SETTLE_INSNS)

    def _keep_quiet(self, insns: int) -> None:
        state = self.state
        state.is_in_use = True
        state.next_ns = max(state.next_ns, self._timers.clock.now_ns() + (insns << self._shift))
        self._schedule()

    def on_received(self, data: bytes) -> None:
        self.state.unread += data

    def on_looped(self) -> None:
        self.state.unread.append(_LOOPED)

    def on_read(self) -> None:
        state = self.state
        del state.unread[:1]
        if state.is_line_over and not state.unread:
            self._keep_quiet(SETTLE_INSNS)
        else:
            self._schedule()

    def on_cleared(self) -> None:
        state = self.state
        lost = bytes(byte for byte in state.unread if byte != _LOOPED)
        state.unread = []
        if lost:
            state.held = lost + state.held
            state.asks = False
            self._schedule()

    def on_handed_over(self) -> None:
        self.state.unread = []
        self.state.is_in_use = True
        self._schedule()

    def on_answer(self) -> None:
        """The guest has sent something: perhaps it carries out the line that it was given."""
        if self.state.is_line_over:
            self.state.next_ns = self._timers.clock.now_ns() + (TURNAROUND_INSNS << self._shift)

    def on_room(self) -> None:
        """Who reads the console instead can take more."""
        self._schedule()

    def on_reset(self) -> None:
        self.on_cleared()
        self.state.is_in_use = False
        self._timer.cancel()

    # ---- time

    def _schedule(self) -> None:
        """Arm the timer for what is next: a character enters, or the host is asked for more."""
        state = self.state
        can_go_on = state.is_in_use and not self._is_bypassed() and not (state.is_line_over and state.unread)
        if can_go_on and state.held and self._room():
            self._arm(max(self._timers.clock.now_ns(), state.next_ns))
        elif can_go_on and not state.held and not state.asks and self.may_come():
            self._arm(self._timers.clock.now_ns())
        else:
            self._timer.cancel()

    def _arm(self, expire_ns: int) -> None:
        if self._timer.expire_ns != expire_ns:
            self._timer.arm(expire_ns)

    def _on_timer(self, late_ns: int) -> None:
        state, now_ns = self.state, self._timers.clock.now_ns()
        if not state.held:
            state.asks = True
            self.ask()
        elif now_ns < state.next_ns:  # the guest has sent something meanwhile
            self._timer.arm(state.next_ns)
        elif self._delay_ns is not None and not state.is_delayed:
            state.delays += 1
            state.is_delayed = True
            state.next_ns = now_ns + self._delay_ns(state.delays)
            self._timer.arm(state.next_ns)
        elif self._room():
            self._send(now_ns)

    def _send(self, now_ns: int) -> None:
        """Let the next character in, and see to the one after it while there is room."""
        state = self.state
        first, state.held = state.held[:1], state.held[1:]
        state.is_delayed = False
        state.is_line_over = first in _LINE_ENDS
        state.next_ns = now_ns + ((INTERRUPTING_INSNS if self._interrupts() else POLLED_INSNS) << self._shift)
        self._post(Event(self._target, first))
        if state.held:
            self._schedule()
        else:
            state.asks = True
