"""What depends on more than the events is caught, and named with the first event after which it shows.

Each check starts four processes, so the culprits are folded together, a stream each.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evcli.determinism.comparing import _spaced
from evcli.determinism.surroundings import OTHERS, environment
from tests.cli.driving import Evcli

FOREIGN, RESUMED, LOST = (OTHERS[0].how, OTHERS[2].how, "as JSON, which snapshots are")
EVENTS = 4
# What is put into the state from the third event on, how it is made, and in what surroundings it comes out otherwise.
CULPRITS = {
    "sets": ("", "list({'one', 'two', 'three', 'four', 'five', 'six'})", FOREIGN),
    "hashes": ("", "hash('x')", FOREIGN),
    "clock": ("import time", "time.time()", FOREIGN),
    "nanoseconds": ("from time import time_ns", "time_ns() // 10**12", FOREIGN),
    "day": ("from datetime import date", "str(date.today())", FOREIGN),
    "now": ("from datetime import UTC, datetime", "datetime.now(UTC).year", FOREIGN),
    "today": ("import datetime", "str(datetime.datetime.today().date())", FOREIGN),
    "text": ("import time", "time.strftime('%Y-%m')", FOREIGN),
    "zone": ("from datetime import datetime", "datetime.fromtimestamp(0).hour", FOREIGN),
    "random": ("import random", "random.random()", FOREIGN),
    "ids": ("import uuid", "str(uuid.uuid4())", FOREIGN),
    "locale": ("import locale", "locale.setlocale(locale.LC_ALL, '')", FOREIGN),
    "environment": ("import os", "os.environ['TZ']", FOREIGN),
    "leak": ("seen = []", "(seen.append(1), len(seen))[1]", RESUMED),
    "sibling": ("import beside", "beside.count()", RESUMED),
    "tuple": ("", "('a', 1)", LOST),
    "keys": ("", "{1: 'a'}", LOST),
    "huge": ("", "2**70", LOST),
    "fails": ("import os", "{'<+1345>-13:45': 1}.get(os.environ.get('TZ')) and [][0]", FOREIGN),
}
REDUCER = """
{imports}
initial = dict
def evolve(state, event):
    if event["version"] >= 3:
        state["it"] = {{"held": {expression}}}
    return state
"""
INNOCENT = """
from datetime import date, datetime
initial = {"days": [], "seen": []}
def evolve(state, event):
    at = datetime.fromisoformat(event["time"])
    assert isinstance(at, date) and isinstance(date(2026, 1, 1), date) and not isinstance(date(2026, 1, 1), datetime)
    state["days"].append(str(at.date()))
    state["seen"] = sorted({*state["seen"], event["type"]})
    print("this is said, and is no answer")
    return state
"""


@pytest.fixture
def project(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """An empty, trusted project, which is the working directory."""
    monkeypatch.setenv("EVCLI_STORE", str(tmp_path / ".evcli"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evcli.toml").write_text("")
    evcli.ok("trust", ".", "-q")
    return evcli


def _append(evcli: Evcli, *streams: str, count: int = EVENTS) -> None:
    lines = [{"stream": stream, "type": f"t{n % 3}", "data": {"n": n}} for stream in streams for n in range(count)]
    evcli.ok("append", "--from", "-", "-q", stdin=b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def _findings(evcli: Evcli, *arguments: str) -> dict[str, Any]:
    """Check what is there, and return what is printed of each stream."""
    result = evcli("replay", "--check-deterministic", *arguments)
    found = {line["stream"]: line for line in result.lines}
    assert result.code == (0 if all(line["deterministic"] for line in found.values()) else 1), result.err
    return found


def test_what_depends_on_more_than_the_events_is_caught(project: Evcli, tmp_path: Path) -> None:
    config = '[streams.innocent]\nreducer = "innocent.py"\n'
    (tmp_path / "innocent.py").write_text(INNOCENT)
    (tmp_path / "beside.py").write_text("n = 0\ndef count():\n    global n\n    n += 1\n    return n\n")
    for name, (imports, expression, _) in CULPRITS.items():
        (tmp_path / f"{name}.py").write_text(REDUCER.format(imports=imports, expression=expression))
        config += f'[streams.{name}]\nreducer = "{name}.py"\n'
    (tmp_path / "evcli.toml").write_text(config)
    _append(project, *CULPRITS, "innocent", "merged")
    found = _findings(project)
    assert found.pop("innocent") == {"stream": "innocent", "version": EVENTS, "deterministic": True}
    assert found.pop("merged")["deterministic"]
    assert {name: line.get("how") for name, line in found.items()} == {name: c[2] for name, c in CULPRITS.items()}
    late = ("leak", "sibling")  # they begin anew after the first event that they count
    events = {name: line["event"] for name, line in found.items()}
    assert events == {name: f"{name}@{4 if name in late else 3}" for name in CULPRITS}
    assert {line["type"] for name, line in found.items() if name not in late} == {"t2"}
    paths = {name: line["path"] for name, line in found.items()}
    assert paths == dict.fromkeys(CULPRITS, "/it/held") | {"sets": paths["sets"], "fails": ""}
    assert paths["sets"].startswith("/it/held/")
    assert found["leak"]["values"] == ["2", "1"]
    assert found["tuple"]["values"] == ["('a', 1)", "['a', 1]"]
    assert found["keys"]["values"] == ["the key 1", "the key '1'"]
    assert found["environment"]["values"][0] == '"UTC"'
    assert "IndexError" in found["fails"]["values"][1]
    one, other = map(int, found["nanoseconds"]["values"])
    assert abs(other - one - OTHERS[0].shift // 1000) <= 1


def test_people_read_what_comes_out_otherwise(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "leak.py").write_text(REDUCER.format(imports=CULPRITS["leak"][0], expression=CULPRITS["leak"][1]))
    (tmp_path / "evcli.toml").write_text('[streams.other]\n[streams.s]\nreducer = "leak.py"\n')
    _append(project, "s", "other")
    result = project("replay", "--check-deterministic", "--until", "now", "-o", "table")
    said = "after s@4 (t0) the state has at /it/held 2; resumed from snapshots: 1"
    assert result.out.decode() == f"ok      other@4\nFAILED  s@4\n  {said}\n"
    told = "1 of 2 streams came out otherwise in other surroundings; see 'evcli help testing'"
    assert (result.code, result.err) == (1, f"evcli: {told}\n")


def test_programs_are_caught_too(project: Evcli, tmp_path: Path) -> None:
    programs = {
        "zone": "date -d @0 +%H | jq -c .",
        "forgetful": "jq -cn 'input | [inputs.data.n] | length'",
        "good": """jq -cn 'input as $state | reduce inputs as $e ($state; .n += $e.data.n | .last = $e.time)'""",
    }
    if shutil.which("faketime"):
        programs["clock"] = "jq -n 'input | now | todate'"
    config = [f"[streams.{name}]\nreducer = '''exec:{program}'''\n" for name, program in programs.items()]
    (tmp_path / "evcli.toml").write_text("".join(config))
    _append(project, *programs, count=2)
    found = _findings(project)
    assert found.pop("good")["deterministic"]
    assert {name: (line["event"], line["how"]) for name, line in found.items()} == {
        "zone": ("zone@1", FOREIGN),
        "forgetful": ("forgetful@2", RESUMED),
        **({"clock": ("clock@1", FOREIGN)} if "clock" in found else {}),
    }


def test_the_first_event_is_found_in_a_long_history(project: Evcli, tmp_path: Path) -> None:
    late = "{'n': n, 'bad': hash('x') if n > 700 else 0}"
    (tmp_path / "late.py").write_text(
        f"initial = {{'n': 0}}\ndef evolve(state, event):\n    n = state['n'] + 1\n    return {late}\n"
    )
    _append(project, "s", count=1500)
    (line,) = _findings(project, "s", "--reducer", "late.py").values()
    assert (line["event"], line["path"]) == ("s@701", "/bad")


def test_a_cached_state_that_is_another_is_caught_and_left_as_it_is(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    where = repr(str(tmp_path / "data"))
    (tmp_path / "it.py").write_text(
        f"from pathlib import Path\ninitial = 0\ndef evolve(state, event):\n    return state + int(Path({where}).read_text())\n"
    )
    _append(project, "s")
    options = ("s", "--reducer", "it.py")
    project.ok("query", "state", *options)
    (tmp_path / "data").write_text("2")
    cached = sorted((path, path.read_bytes()) for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert any("states" in path.parts for path, _ in cached)
    found = _findings(project, *options)["s"]
    assert (found["how"], found["event"], found["path"]) == ("in the cached snapshot", "s@4", "")
    assert found["values"] == ["8", "4"]
    assert sorted((path, path.read_bytes()) for path in (tmp_path / "cache").rglob("*") if path.is_file()) == cached
    assert project.ok("query", "state", *options).json == 4


def test_what_cannot_be_folded_at_all_is_told_as_ever(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("initial = 0\ndef evolve(state, event):\n    return state['x']\n")
    (tmp_path / "gone.py").write_text("import os\ninitial = 0\ndef evolve(state, event):\n    os._exit(3)\n")
    _append(project, "s")
    assert "failed on s@1 (t0): TypeError" in project.fails(
        69, "replay", "s", "--check-deterministic", "--reducer", "bad.py"
    )
    assert "has ended" in project.fails(69, "replay", "s", "--check-deterministic", "--reducer", "gone.py")
    project.fails(4, "replay", "nowhere", "--check-deterministic")
    project.ok("trust", "--remove", ".", "-q")
    (tmp_path / "evcli.toml").write_text('[streams."*"]\nreducer = "bad.py"\n')
    project.fails(77, "replay", "s", "--check-deterministic")


DECIDER = """
import random, time
initial = {"n": 0}
counted = []
def evolve(state, event):
    counted.append(1)
    return {"n": len(counted)} if event["type"] == "leaky" else {"n": state["n"] + 1}
def decide(command, state):
    match command["type"]:
        case "clock": return [("done", {"at": time.time()})]
        case "random": return [("done", {"id": random.random()})]
        case "first": return [("done", {"first": next(iter({"one", "two", "three", "four", "five", "six"}))})]
    return [("done", command["data"])]
"""


def test_specs_are_checked_by_their_states_and_by_what_is_decided(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(DECIDER)
    given: list[dict[str, str]] = [{"type": "a"}, {"type": "a"}]
    specs: list[dict[str, Any]] = [
        {"name": kind, "given": given, "when": {"type": kind}, "then": {"state": {"n": 3}}}
        for kind in ("clock", "random", "first", "good")
    ]
    specs += [
        {"name": "leak", "given": [*given, {"type": "leaky"}, {"type": "leaky"}], "then": {"state": {"n": 4}}},
        {"name": "wrong", "given": given, "when": {"type": "good"}, "then": []},
    ]
    text = b"".join(json.dumps(spec).encode() + b"\n" for spec in specs)
    result = project("test", "-", "--decider", "it.py", "--check-deterministic", stdin=text)
    found = {line["spec"]: line for line in result.lines}
    assert result.err == "evcli: 5 of 6 specs failed\n"
    assert {name: (line["ok"], line["deterministic"], line.get("path")) for name, line in found.items()} == {
        "clock": (False, False, "/events/0/data/at"),
        "random": (False, False, "/events/0/data/id"),
        "first": (False, False, "/events/0/data/first"),
        "good": (True, True, None),
        "leak": (False, False, "/n"),
        "wrong": (False, True, None),
    }
    assert found["leak"]["event"] == "spec@3"
    assert found["clock"]["how"] == FOREIGN
    shown = project(
        "test", "-", "--decider", "it.py", "--check-deterministic", "-o", "table", stdin=text.split(b"\n")[0]
    )
    assert "FAILED  clock  -:1\n  what the command comes to has at /events/0/data/at " in shown.out.decode()


def test_the_samples_are_deterministic(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Path(__file__).parents[2] / "sample_logs"
    monkeypatch.chdir(shutil.copytree(samples, tmp_path / "samples"))
    evcli.ok("trust", ".", "-q")
    result = evcli.ok("test", "bank_specs.toml", "users_specs.toml", "--check-deterministic")
    assert all(line["deterministic"] for line in result.lines)


def test_places_are_evenly_spaced_and_end_with_the_last() -> None:
    assert _spaced(0, 3, 64) == [1, 2, 3]
    assert _spaced(10, 20, 2) == [15, 20]
    assert _spaced(0, 1000, 4) == [250, 500, 750, 1000]


def test_another_locale_is_one_that_is_there() -> None:
    def locale(current: str, *installed: str) -> tuple[str, ...]:
        return tuple(environment(each, {"LC_ALL": current}, installed)["LC_ALL"] for each in OTHERS[:2])

    assert locale("en_US.UTF-8", "C", "POSIX", "de_DE.utf8", "en_US.utf8") == ("de_DE.utf8", "C")
    assert locale("de_DE.UTF-8", "C", "de_DE.utf8", "fr_FR.utf8") == ("fr_FR.utf8", "C")
    assert locale("C.UTF-8", "C", "C.utf8") == ("C", "C")
    assert locale("C", "C", "C.utf8") == ("C.UTF-8", "C.UTF-8")
