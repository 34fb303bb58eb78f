"""Deciders that answer with anything at all: they are named, nothing is stored, and the queue goes on."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.commands import Command
from evcli.domain.conditions import make_condition
from evcli.domain.queue import QUEUE
from evcli.domain.values import Json
from evcli.errors import CodeFailed, OverTime, Refused, Rejected, Usage
from evcli.project import limits
from evcli.project.arguments import fit_arguments
from evcli.project.deciders import ProgramDecider, PythonDecider
from evcli.project.sources import Sources
from evcli.storage.memory import MemoryStore
from evcli.write_side.executing import execute, rejection
from evcli.write_side.queue import status_of
from tests.write_side.deciding import by, put, request, told, worker

LONG = "x" * 3_000_000


def program(command: str, tmp_path: Path, state: Json = None, *, timeout: float | None = 5.0) -> Any:
    decider = ProgramDecider(command, directory=str(tmp_path))
    return decider.decide(request("a", "do").command, state, timeout=timeout)


@pytest.mark.parametrize(
    "error",
    [Rejected(LONG), Rejected("\udcff", code="\udcff"), Rejected(5, code=5), CodeFailed(LONG), CodeFailed("\udcff")],  # type: ignore[arg-type]  # whatever a user gives
    ids=["long", "surrogate", "numbers", "failed at length", "failed with a surrogate"],
)
def test_whatever_a_decider_says_is_stored_and_the_next_command_handled(error: Exception) -> None:
    store = MemoryStore()
    put(store, "a", "fail", id="k")
    put(store, "a", "go", id="l")

    def decide(command: Command, _state: Json) -> Any:
        if command.type == "fail":
            raise error
        return [("gone", {})]

    assert worker(store, decide)[0].look()
    assert status_of(store, "k").status == ("rejected" if isinstance(error, Rejected) else "parked")
    assert told(store, "a") == [("gone", {})]
    assert max(len(json.dumps(data)) for _, data in told(store, QUEUE)) < 12_000


@pytest.mark.parametrize("reason", [LONG, "\udcff", 5])
def test_a_rejection_can_be_kept_whatever_its_reason(reason: Any) -> None:
    store = MemoryStore()
    store.append([rejection(request("a", "do"), Rejected(reason))], lock_wait=1.0)


@pytest.mark.parametrize("returned", [{"stream": 5, "type": "t"}, {"stream": ["a"], "type": "t"}])
def test_a_stream_that_is_no_name_is_the_decider_s_fault(returned: Any) -> None:
    with pytest.raises(CodeFailed, match=r"whose stream is an? (number|array)"):
        execute(MemoryStore(), request("a", "do"), by(MemoryStore(), lambda _command, _state: [returned]))


def test_items_that_cannot_be_taken_are_the_decider_s_fault(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(
        "class Items:\n    def __iter__(self):\n        raise RuntimeError('none')\n\n\n"
        "def decide(command, state):\n    return Items()\n"
    )
    with pytest.raises(CodeFailed, match="RuntimeError: none"):
        PythonDecider(Sources(str(tmp_path / "d.py"))).decide(request("a", "do").command, None, timeout=None)


def test_a_condition_that_is_not_json_is_refused_when_it_is_made() -> None:
    for where in ({"/data/x": "\udcff"}, {"/data/x": {1}}):
        with pytest.raises(Usage, match="the condition is not JSON"):
            make_condition("a/*", "t", where)


def test_a_program_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_OUTPUT", 1 << 20)
    for command in ("yes", "yes >&2"):
        with pytest.raises(CodeFailed, match="it printed more than 1 MiB"):
            program(command, tmp_path, timeout=None)


def test_a_program_need_not_read_what_it_is_given(tmp_path: Path) -> None:
    state = "x" * 1_000_000
    assert program('exec <&-; sleep 0.05; echo \'{"type":"t"}\'', tmp_path, state) == [{"type": "t"}]
    assert program('echo \'{"type":"t"}\'; cat > /dev/null', tmp_path, state) == [{"type": "t"}]


def test_a_program_s_time_is_over_whoever_still_holds_its_output(tmp_path: Path) -> None:
    before = time.monotonic()
    for command in ("sleep 20", "sleep 20 &", "setsid sleep 2 &"):
        with pytest.raises(OverTime):
            program(command, tmp_path, timeout=0.1)
    assert time.monotonic() - before < 2


def test_a_line_separator_in_a_text_ends_no_line_of_a_program(tmp_path: Path) -> None:
    text = "a\u2028b\x85c"
    (tmp_path / "events").write_text(json.dumps({"type": "t", "data": text}, ensure_ascii=False) + "\n")
    assert program("cat events", tmp_path) == [{"type": "t", "data": text}]


def test_a_state_that_is_not_json_is_told_where_a_program_decides(tmp_path: Path) -> None:
    with pytest.raises(CodeFailed, match="the state is not JSON"):
        program("cat", tmp_path, float("nan"))


def test_python_code_that_catches_everything_is_interrupted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AGAIN", 0.05)
    (tmp_path / "d.py").write_text(
        "def decide(command, state):\n    for _ in range(2):\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass\n    while True:\n        pass\n"
    )
    decider = PythonDecider(Sources(str(tmp_path / "d.py")))
    with pytest.raises(OverTime, match=r"^it took longer than 0.05 s;"):
        decider.decide(request("a", "do").command, None, timeout=0.05)


def test_the_stream_that_a_function_is_given_cannot_be_given_as_an_argument() -> None:
    def transfer(state: Json, to: str, stream: str) -> list[Any]:
        return [state, to, stream]

    assert fit_arguments(transfer, {"to": "b"}, command="transfer", stream="a") == {"to": "b", "stream": "a"}
    with pytest.raises(Usage, match="transfer does not take stream"):
        fit_arguments(transfer, {"to": "b", "stream": "c"}, command="transfer", stream="a")


@pytest.mark.parametrize(("text", "kind"), [("1e999", float), ("9" * 5000, int), ("-1e999", float)])
def test_a_number_that_cannot_be_is_no_argument(text: str, kind: type) -> None:
    def pay(state: Json, amount: Any) -> None:
        del state, amount

    pay.__annotations__["amount"] = kind
    with pytest.raises(Usage, match="pay: amount is"):
        fit_arguments(pay, {"amount": text}, command="pay", stream="a")


def test_a_command_is_refused_where_its_outcome_might_not_fit_on_a_line() -> None:
    store = MemoryStore()
    for asked in (
        request("a", "do", "x" * 600_000, id="k"),
        request("a", "do", id="k" * 300_000),
    ):
        with pytest.raises(Refused, match="over 512 KiB"):
            put(store, "a", "do", asked.command.data, id=str(asked.id))
    put(store, "a", "do", id="\x1b[31m\u2028" + "k" * 200_000)
    assert worker(store, lambda _command, _state: [("done", {})])[0].look()
    assert told(store, "a") == [("done", {})]
