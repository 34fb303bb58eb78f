"""``evcli work`` ends with 143 when it is told to, whatever it is at."""

import signal
from pathlib import Path

import pytest

from tests.cli.driving import Evcli

LOADED_AT = """\
import os
import signal


class Told:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):  # the handler is run in between
            pass


class Holder:
    told = Told()


def decide(command, state):
    return []
"""
IGNORED = """\
import os
import signal


class Held:
    def __del__(self):  # whatever is raised here is ignored
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass


def decide(command, state):
    Held()
    return []
"""


@pytest.mark.parametrize("decider", [LOADED_AT, IGNORED], ids=["becomes another exception", "is ignored"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_ends_where_the_interpreter_loses_the_signal_s_exception(
    evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decider: str
) -> None:
    (tmp_path / "evcli.toml").write_text('[streams."*"]\ndecider = "d.py"\n')
    (tmp_path / "d.py").write_text(decider)
    monkeypatch.setenv("EVCLI_CONFIG", str(tmp_path / "evcli.toml"))
    evcli.ok("trust", str(tmp_path), "-q")
    evcli.ok("submit", "a", "go")
    before = signal.getsignal(signal.SIGTERM)
    assert evcli("work").code == 143
    assert signal.getsignal(signal.SIGTERM) == before
