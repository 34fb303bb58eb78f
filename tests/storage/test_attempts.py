"""Deaths are counted, and nothing else is."""

import os
import signal
from pathlib import Path

from evcli.storage.attempts import Attempts


def die(folder: Path, key: str) -> int:
    """Begin in a process that dies, and return what it was told."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"%d" % Attempts(str(folder)).begin(key))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(write)
    with open(read, "rb") as file:
        return int(file.read())


def test_each_death_counts_until_one_attempt_ends(tmp_path: Path) -> None:
    assert [die(tmp_path, "k") for _ in range(12)] == list(range(12))
    assert die(tmp_path, "other") == 0
    attempts = Attempts(str(tmp_path))
    assert attempts.deaths("k") == 12
    assert attempts.begin("k") == 12
    attempts.end("k")
    assert (attempts.begin("k"), attempts.deaths("new")) == (0, 0)


def test_others_who_are_at_the_same_are_no_deaths(tmp_path: Path) -> None:
    living = [Attempts(str(tmp_path)) for _ in range(8)]
    assert [attempts.begin("k") for attempts in living] == [0] * 8
    for attempts in living:
        attempts.end("k")
    assert Attempts(str(tmp_path)).begin("k") == 0


def test_nothing_is_counted_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempts in (Attempts(None), Attempts(str(tmp_path / "file"))):
        assert (attempts.begin("k"), attempts.deaths("k")) == (0, 0)
        attempts.end("k")
