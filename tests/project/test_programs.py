import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.events import Event
from evcli.errors import CodeFailed
from evcli.project.programs import BATCH_BYTES, BATCH_EVENTS, ExecReducer

# Counts its runs in the file RUNS, sums "n" in sed-and-awk manner, and fails on n = 13.
SUM = r"""
echo run >> runs
awk 'NR == 1 { sum = $0 + 0; next }
     { match($0, /"n":[0-9]+/); n = substr($0, RSTART + 4, RLENGTH - 4)
       if (n == 13) { print "first line" > "/dev/stderr"; print "13 brings bad luck" > "/dev/stderr"; exit 3 }
       sum += n }
     END { if (n != 13) printf "%d", sum }'
"""


def events(numbers: range, *, padding: str = "") -> Iterator[Event]:
    for version, n in enumerate(numbers, 1):
        data = {"n": n, "padding": padding}
        yield Event(
            position=version,
            stream="accounts/ann",
            version=version,
            time="2026-11-23T08:00:00.000000Z",
            type="added",
            data=data,
        )


def reduce(folder: Path, command: str, given: Iterator[Event], *, initial: Any = None) -> Any:
    reducer = ExecReducer(command, directory=str(folder), initial=initial)
    return reducer.fold(reducer.initial(), given)


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_a_program_folds_events_in_batches(tmp_path: Path) -> None:
    assert reduce(tmp_path, SUM, events(range(100, 100 + 2 * BATCH_EVENTS + 1))) == sum(
        range(100, 101 + 2 * BATCH_EVENTS)
    )
    assert runs(tmp_path) == 3


def test_a_batch_ends_at_a_mebibyte(tmp_path: Path) -> None:
    assert reduce(tmp_path, SUM, events(range(100, 110), padding="x" * (BATCH_BYTES // 4))) == sum(range(100, 110))
    assert runs(tmp_path) == 3


def test_no_events_need_no_run(tmp_path: Path) -> None:
    assert reduce(tmp_path, SUM, events(range(0)), initial=7) == 7
    assert not (tmp_path / "runs").exists()


def test_the_program_is_given_the_state_and_then_the_events_a_line_each(tmp_path: Path) -> None:
    reduce(tmp_path, "tee given | head -n 1", events(range(2)), initial={"a": [1, 2.5, "ü\n"]})
    state, *rest = (tmp_path / "given").read_text().splitlines()
    assert json.loads(state) == {"a": [1, 2.5, "ü\n"]}
    assert [json.loads(line) for line in rest] == list(events(range(2)))


def test_the_state_is_null_unless_configured(tmp_path: Path) -> None:
    assert reduce(tmp_path, "head -n 1", events(range(1))) is None


def test_each_fold_has_its_own_initial_state(tmp_path: Path) -> None:
    reducer = ExecReducer("cat", directory=str(tmp_path), initial={"a": []})
    reducer.initial()["a"].append(1)
    assert reducer.initial() == {"a": []}


def test_a_state_may_be_printed_over_several_lines(tmp_path: Path) -> None:
    assert reduce(tmp_path, "printf '{\\n  \"a\": 1.50\\n}\\n'", events(range(1))) == {"a": 1.5}


def test_a_program_that_reads_nothing_of_much_input_does_not_hang(tmp_path: Path) -> None:
    assert reduce(tmp_path, "echo 1", events(range(8), padding="x" * (BATCH_BYTES // 9))) == 1


def test_a_program_that_prints_much_before_it_reads_does_not_hang(tmp_path: Path) -> None:
    command = "printf '['; head -c 500000 /dev/zero | tr '\\0' ' '; echo ']'; cat >/dev/null"
    assert reduce(tmp_path, command, events(range(8), padding="x" * (BATCH_BYTES // 9))) == []


@pytest.mark.parametrize("count", [1, 14, 500, 1700])
def test_a_failure_names_the_event_and_what_the_program_said_last(tmp_path: Path, count: int) -> None:
    numbers = range(14 - count, 14) if count <= 14 else range(14, 14 + count)
    given = list(events(numbers))
    place = count if count <= 14 else count // 2
    given[place - 1]["data"]["n"] = 13
    with pytest.raises(CodeFailed) as caught:
        reduce(tmp_path, SUM, iter(given))
    assert f"failed on accounts/ann@{place}: exit 3: 13 brings bad luck" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.facts == {"stream": "accounts/ann", "version": place, "position": place}
    assert runs(tmp_path) < 14


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("echo NaN", "NaN is not JSON"),
        ("echo 1e999", "beyond a double"),
        ("echo 99999999999999999999", "outside"),
        ("echo 1 2", "something follows"),
        ("printf '\\377'", "not UTF-8"),
        ("true", "printed no state"),
        ("kill -9 $$", f"killed by signal {signal.SIGKILL.value}"),
        ("no-such-program-anywhere", "exit 127"),
    ],
)
def test_what_is_no_state_is_refused(tmp_path: Path, command: str, problem: str) -> None:
    with pytest.raises(CodeFailed, match=r"accounts/ann@1: ") as caught:
        reduce(tmp_path, command, events(range(3)))
    assert problem in caught.value.message


def test_a_program_dies_of_a_closed_pipe_as_in_a_shell(tmp_path: Path) -> None:
    start = time.monotonic()
    assert reduce(tmp_path, "yes | head -n 1 >/dev/null; echo 1", events(range(1))) == 1
    assert time.monotonic() - start < 5


def test_a_directory_that_is_gone_is_an_error_of_the_reducer(tmp_path: Path) -> None:
    with pytest.raises(CodeFailed, match="No such file"):
        reduce(tmp_path / "gone", "cat", events(range(1)))
    assert os.path.isdir(tmp_path)
