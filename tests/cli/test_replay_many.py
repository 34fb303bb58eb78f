"""Many streams are replayed in processes of their own, which nobody is to notice but by the time it takes."""

import json
import os
from pathlib import Path

import pytest

import evcli.time_travel.replaying
from evcli import Store
from tests.cli.driving import Evcli, Result, start, tree_hash

STREAMS = 300
COUNT = "initial = 0\ndef evolve(state, event):\n    return state + event['data']['n']\n"
FAILS = COUNT.replace("    return", "    assert event['stream'] != 's/250'\n    return")
NOT_JSON = COUNT.replace("    return", "    if event['stream'] == 's/250': return {1, 2}\n    return")
OWN_CLASS = "class Own(dict): pass\ninitial = {}\ndef evolve(state, event):\n    return Own(n=event['data']['n'])\n"
DIES = "import os\n" + COUNT.replace("    return", "    if event['stream'] == 's/250': os._exit(3)\n    return")


@pytest.fixture
def many(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    monkeypatch.chdir(tmp_path)
    Store.open().append_many({f"s/{n:03}": [("t", {"n": n})] for n in range(STREAMS)})
    Path("count.py").write_text(COUNT)
    return evcli


def with_cores(many: Evcli, monkeypatch: pytest.MonkeyPatch, cores: int, *arguments: str) -> Result:
    with monkeypatch.context() as patch:
        patch.setattr(evcli.time_travel.replaying, "cores", lambda: cores)
        patch.setattr(evcli.time_travel.replaying, "_WORTH_IT", 5_000)
        return many("replay", *arguments)


def both(many: Evcli, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run on one core and on two, and return what both come to."""
    alone = with_cores(many, monkeypatch, 1, *arguments)
    assert with_cores(many, monkeypatch, 2, *arguments) == alone
    return alone


def test_the_states_are_the_same_and_in_the_same_order(many: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree_hash(Path())
    result = both(many, monkeypatch, "**", "--reducer", "count.py")
    assert result.lines == [{"stream": f"s/{n:03}", "version": 1, "state": n} for n in range(STREAMS)]
    assert tree_hash(Path()) == before


def test_streams_without_an_event_by_then_are_left_out(many: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open().append_many({"s/later": [("t", {"n": 1})]})
    moment = json.loads(many.ok("log", "s/001").out)["time"]
    assert len(both(many, monkeypatch, "s/*", "--until", moment).lines) == STREAMS
    assert len(both(many, monkeypatch, "s/*").lines) == STREAMS + 1


@pytest.mark.parametrize(
    ("code", "problem"), [(FAILS, "failed on s/250@1 (t): AssertionError"), (NOT_JSON, "s/250@1 is not JSON")]
)
def test_an_error_is_told_behind_the_states_before_it(
    many: Evcli, monkeypatch: pytest.MonkeyPatch, code: str, problem: str
) -> None:
    Path("count.py").write_text(code)
    result = both(many, monkeypatch, "**", "--reducer", "count.py")
    assert result.code == 69
    assert problem in result.err
    assert [line["state"] for line in result.lines] == list(range(250))


def test_a_state_of_a_class_of_the_reducers_own_is_printed_as_it_is(
    many: Evcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("count.py").write_text(OWN_CLASS)
    result = both(many, monkeypatch, "**", "--reducer", "count.py")
    assert [line["state"] for line in result.lines] == [{"n": n} for n in range(STREAMS)]


def test_a_process_that_ends_before_its_time_is_an_error(many: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("count.py").write_text(DIES)
    result = with_cores(many, monkeypatch, 2, "**", "--reducer", "count.py")
    assert result.code == 69
    assert "with exit code 3" in result.err


def test_the_installed_command_prints_each_state_once(many: Evcli) -> None:
    del many
    with start("replay", "**", "--reducer", "count.py") as child:
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")
    assert [json.loads(line)["state"] for line in out.splitlines()] == list(range(STREAMS))


def test_when_its_reader_is_gone_it_ends(many: Evcli) -> None:
    del many
    with start("replay", "**", "--reducer", "count.py") as child:
        assert child.stdout is not None
        os.close(os.dup(child.stdout.fileno()))
        child.stdout.close()
        assert child.wait(timeout=60) in (-13, 141)
