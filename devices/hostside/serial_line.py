"""The serial line of the console's input: on the host side, between the host's input and the UART.

It holds input from the host and sends one character at a time, when the guest can take it:

- No character comes before the guest has used its receiver, nor soon after the receiver was set up (FCR, LCR, MCR, the
  divisor). So a driver that empties its receiver when it starts loses nothing.
- A character comes only if there is room, and a fixed number of instructions after the one before, whatever the divisor
  says. The number is larger if the guest receives by interrupt: otherwise the handler would never find the receiver
  empty, and the buffer that it fills would overflow.
- After the end of a line the next character waits until the guest has read the line and has sent nothing for a while:
  programs that read commands may discard input while they execute one, as U-Boot does.
- Characters that a reset of the FIFO or of the board discards unread are sent again.

The moment at which a character enters follows from what the guest does, as long as the host has a character. The timer
is EXTERNAL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from minstret.emu.door.door import Event
from minstret.emu.timers import Timer, TimerAttribute, TimerList

POLLED_INSNS, INTERRUPTING_INSNS = 64, 4096
"""Instructions from one character to the next, for a guest that polls and for one that is interrupted: with shift 1,
0.13 and 8.2 us."""

SETTLE_INSNS = 16 * INTERRUPTING_INSNS
"""Instructions from a write that sets up the receiver, or from the reading of a line's end, to the next character."""

TURNAROUND_INSNS = 128 * INTERRUPTING_INSNS
"""Instructions from what the guest sends after the end of a line to the next character: with shift 1, 1 ms."""

_LINE_ENDS = b"\r\n"
_LOOPED = -1


@dataclass(slots=True)
class SerialLineState:
    """The line's state. Times in ns.

    Attributes:
        held: Bytes from the host that were not sent yet.
        unread: The bytes in the receiver's FIFO; -1 for a byte that the guest sent to itself (loopback).
        next_ns: No character enters before this time.
        is_in_use: Whether the guest has used its receiver.
        asks: Whether more bytes are wanted from the host.
        is_delayed: Whether ``next_ns`` includes the delay of the next character (chaos).
        delays: How many delays were drawn.
        is_line_over: Whether the last character ended a line.
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
    """Takes the console's bytes from the host and posts them to the door one by one. It is the UART's ``Sender``."""

    def __init__(
        self, name: str, target: str, timers: TimerList, *, shift: int, room: Callable[[], int],
        interrupts: Callable[[], bool], post: Callable[[Event], None], is_bypassed: Callable[[], bool],
        delay_ns: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        """Make an idle line.

        Args:
            name: The name of its timer.
            target: The door's target whose events it takes.
            timers: The timer list of the virtual clock.
            shift: An instruction takes ``2 ** shift`` ns.
            room: Returns how many bytes the receiver can take now.
            interrupts: Returns whether the receiver interrupts when a byte comes.
            post: Passes a character to the door.
            is_bypassed: Returns whether semihosting or HTIF reads the console now, which gets bytes at once.
            delay_ns: The additional delay of the nth character (chaos).
        """
        self.state = SerialLineState()
        self._target = target
        self._timers = timers
        self._shift = shift
        self._room, self._interrupts, self._post, self._is_bypassed = room, interrupts, post, is_bypassed
        self.ask: Callable[[], None] = lambda: None
        """Makes the door look for more input from the host before the next instruction."""
        self.may_come: Callable[[], bool] = lambda: False
        """Whether more input may come from the host."""
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

    def type(self, data: bytes) -> None:
        """Take what somebody on the host side types."""
        event = Event(self._target, data)
        if not self.divert(event):
            self._post(event)

    def recall(self) -> bool:
        """Post all held bytes at once if the line is bypassed. Returns whether there were any."""
        if not self.state.held or not self._is_bypassed():
            return False
        held, self.state.held = self.state.held, b""
        self._post(Event(self._target, held))
        return True

    def go_on(self) -> None:
        """Ask for more, after a state was loaded in which the host's input may have ended: now it may not have."""
        if not self.state.held and not self._timer.pending:
            self._schedule()

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

    def on_answer(self, sent_ns: int) -> None:
        """The guest has sent something: it may be executing the line that it was given."""
        if self.state.is_line_over:
            self.state.next_ns = sent_ns + (TURNAROUND_INSNS << self._shift)

    def on_room(self) -> None:
        """The reader that bypasses the line can take more."""
        self._schedule()

    def on_reset(self) -> None:
        self.on_cleared()
        self.state.is_in_use = False
        self._timer.cancel()

    # ---- time

    def _schedule(self) -> None:
        """Arm the timer for the next action: a character enters, or the host is asked for more."""
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
        """Send the next character, and arrange for the one after it."""
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
