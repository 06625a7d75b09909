"""A virtio device of no known kind: gives back what it is sent in capitals, after a word that the host chooses."""

from __future__ import annotations

from dataclasses import dataclass

from minstret import VirtioFunction, Wiring

DEVICE_ID = 42  # nobody's


@dataclass(slots=True)
class ShoutState:
    word: bytes = b"OK"
    answered: int = 0


class Shout(VirtioFunction):
    device_id = DEVICE_ID
    queue_sizes = (16,)
    state: ShoutState

    def __init__(self, word: str = "OK", name: str = "shout0") -> None:
        super().__init__(name)
        self.state = ShoutState(word.encode())

    def attach(self, wiring: Wiring) -> None:
        self._answer = wiring.output("answer")
        wiring.input("word", self._on_word)

    def reset(self) -> None:
        self.state.answered = 0

    def read_config(self) -> bytes:
        return bytes((len(self.state.word),)) + self.state.word

    def on_notify(self, queue: int) -> None:
        requests = self.transport.queue(queue)
        for chain in requests.available():
            answer = self.state.word + b": " + chain.read(64).upper()
            self._answer(answer)
            self.state.answered += 1
            requests.push(chain, chain.write(answer))
        requests.flush()

    def _on_word(self, data: bytes) -> None:
        self.state.word = data
        self.transport.config_changed()
