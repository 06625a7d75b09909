"""What tests of the command share."""

from __future__ import annotations

import pytest
from support.commands import Command, Done

from minstret.emu.cli import main


@pytest.fixture
def inside(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """The command within this process, to its end, without input."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        assert isinstance(caught.value.code, int)
        return Done(arguments, caught.value.code, *capfdbinary.readouterr())

    return run
