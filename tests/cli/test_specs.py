import json
import shutil
from pathlib import Path

import pytest

from tests.cli.driving import Evcli

SAMPLES = Path(__file__).parents[2] / "sample_logs"
DECIDER = """
from evcli import Rejected
initial = {"n": 0}
def evolve(state, event):
    return {"n": state["n"] + 1, "last": event["time"]}
def decide(command, state):
    match command["type"]:
        case "no": raise Rejected("not at all", code="never")
        case "break": raise KeyError("x")
        case "none": return None
        case "wait":
            while True: pass
        case "nothing": return []
        case "both": return [("other", "b.done", 1), ("done", 1), {"stream": "other", "type": "b.done", "data": 2}]
    return [{"type": "done", "data": command["data"], "meta": {"by": "me"}, "v": 2}]
"""


@pytest.fixture
def project(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """A project with a decider that is trusted, which is the working directory; there is no store yet."""
    (tmp_path / "it.py").write_text(DECIDER)
    (tmp_path / "evcli.toml").write_text('[streams."**"]\ndecider = "it.py"\nreducer = "it.py"\n')
    monkeypatch.setenv("EVCLI_STORE", str(tmp_path / ".evcli"))
    monkeypatch.chdir(tmp_path)
    evcli.ok("trust", ".", "-q")
    return evcli


@pytest.fixture
def samples(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """A copy of the samples, trusted, which is the working directory."""
    monkeypatch.chdir(shutil.copytree(SAMPLES, tmp_path / "samples"))
    monkeypatch.setenv("EVCLI_STORE", str(tmp_path / "samples" / ".evcli"))
    evcli.ok("trust", ".", "-q")
    return evcli


def _one(evcli: Evcli, *options: str, **spec: object) -> dict[str, object]:
    """Run one spec, given as a line on standard input, and return what is printed of it."""
    result = evcli("test", "-", *options, stdin=json.dumps(spec).encode())
    found: dict[str, object] = result.json
    assert result.code == (0 if found["ok"] else 1)
    return found


def test_the_samples_specs_hold_without_any_store(samples: Evcli, tmp_path: Path) -> None:
    result = samples.ok("test", "bank_specs.toml", "users_specs.toml")
    assert len(result.lines) == 10
    assert all(line["ok"] for line in result.lines)
    assert result.err == ""
    assert not (tmp_path / "samples" / ".evcli").exists()


def test_all_outcomes_are_one_array_and_one_table(project: Evcli, tmp_path: Path) -> None:
    specs: list[dict[str, object]] = [{"name": name, "when": {"type": name}, "then": []} for name in ("nothing", "no")]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(spec) + "\n" for spec in specs))
    array = json.loads(project("test", "two.jsonl", "-o", "json").out)
    assert [(found["spec"], found["ok"]) for found in array] == [("nothing", True), ("no", False)]
    table = project("test", "two.jsonl", "-o", "csv").out.decode().splitlines()
    assert table[0] == "spec,file,line,ok,expected,actual"
    assert table[1].startswith("nothing,")
    assert table[2].startswith("no,")
    assert len(table) == 3


@pytest.mark.parametrize(
    ("command", "then"),
    [
        ({"type": "go", "data": 7}, [{"type": "done", "data": 7}]),
        ({"type": "go"}, [{"type": "done", "data": {}, "meta": {"by": "me"}, "v": 2}]),
        ({"type": "go"}, {"events": [{"type": "done"}], "state": {"n": 1, "last": "2000-01-01T00:00:00.000000Z"}}),
        ({"type": "nothing"}, []),
        ({"type": "no"}, {"rejected": True}),
        ({"type": "no"}, {"rejected": "never"}),
        ({"type": "no"}, {"rejected": "not at all"}),
        (
            {"type": "both"},
            [{"type": "done", "data": 1}, *({"stream": "other", "type": "b.done", "data": n} for n in (1, 2))],
        ),
    ],
)
def test_what_is_expected_of_a_command_comes(project: Evcli, command: object, then: object) -> None:
    assert _one(project, when=command, then=then)["ok"]


@pytest.mark.parametrize(
    ("command", "then", "actual"),
    [
        ({"type": "go", "data": 7}, [{"type": "done", "data": 8}], {"events": [{"type": "done", "data": 7}]}),
        ({"type": "go"}, [], {"events": [{"type": "done", "data": {}}]}),
        ({"type": "go"}, {"rejected": True}, {"events": [{"type": "done", "data": {}}]}),
        ({"type": "go"}, [{"type": "done", "v": 1}], {"events": [{"type": "done", "data": {}, "v": 2}]}),
        ({"type": "no"}, [], {"rejected": {"code": "never", "reason": "not at all"}}),
        ({"type": "no"}, {"rejected": "ever"}, {"rejected": {"code": "never", "reason": "not at all"}}),
        ({"type": "no"}, {"conflict": True}, {"rejected": {"code": "never", "reason": "not at all"}}),
        ({"type": "nothing"}, [{"type": "done"}], {"events": []}),
        (
            {"type": "both"},
            [{"type": "done", "data": 1}, *({"stream": "other", "type": "b.done", "data": n} for n in (2, 1))],
            {
                "events": [
                    {"type": "done", "data": 1},
                    *({"stream": "other", "type": "b.done", "data": n} for n in (1, 2)),
                ]
            },
        ),
    ],
)
def test_what_else_comes_of_a_command_is_shown(project: Evcli, command: object, then: object, actual: object) -> None:
    found = _one(project, name="it", when=command, then=then)
    assert not found["ok"]
    assert found["actual"] == actual


@pytest.mark.parametrize(
    ("command", "said"), [("break", "KeyError: 'x' ("), ("none", "returned None"), ("wait", "longer than 0.2 s")]
)
@pytest.mark.parametrize("then", [[], {"rejected": True}, {"state": {}}])
def test_a_decider_that_fails_is_a_spec_that_fails(project: Evcli, command: str, said: str, then: object) -> None:
    found = _one(project, "--timeout", "0.2", when={"type": command}, then=then)
    actual = found["actual"]
    assert isinstance(actual, dict)
    assert said in actual["error"]
    assert "it.py" in actual["error"]


def test_without_a_command_a_spec_is_about_the_state(project: Evcli) -> None:
    given = [
        {"type": "a"},
        {"type": "a", "time": "2026-01-01T00:00:00Z"},
        {"stream": "other", "type": "a"},
        {"type": "a"},
    ]
    assert _one(project, given=given, then={"state": {"n": 3, "last": "2026-01-01T00:00:02.000000Z"}})["ok"]
    assert _one(project, given=given, then={"state": {"n": 3}})["actual"] == {
        "state": {"n": 3, "last": "2026-01-01T00:00:02.000000Z"}
    }
    assert _one(project, "--reducer", "count", given=given, then={"state": 3})["ok"]


def test_deciders_and_reducers_in_any_language(project: Evcli) -> None:
    program = """exec:jq -ce 'if .state < 2 then {type: "done", data: .state} else ("too many" | halt_error(5)) end'"""
    options = ("--decider", program, "--reducer", "count")
    assert _one(project, *options, given=[{"type": "a"}], when={"type": "x"}, then=[{"type": "done", "data": 1}])["ok"]
    rejected = {"rejected": "too many"}
    assert _one(project, *options, given=[{"type": "a"}] * 2, when={"type": "x"}, then=rejected)["ok"]


def test_a_given_event_that_cannot_be_stored_is_refused(project: Evcli) -> None:
    given = [{"type": "a", "time": "2026-01-01T00:00:00Z"}, {"type": "a", "time": "2025-01-01T00:00:00Z"}]
    said = project.fails(65, "test", "-", stdin=json.dumps({"given": given, "then": {"state": 1}}).encode())
    assert "-:1: spec 'number 1': given[2]: the time " in said


def test_a_wrong_spec_stops_all_before_any_is_run(project: Evcli) -> None:
    result = project("test", "-", stdin=b'{"then":{"state":{}}}\n{"than":1}\n')
    assert (result.code, result.out) == (65, b"")


def test_people_see_a_diff_and_a_count(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[[spec]]\nname = "good"\nwhen.type = "nothing"\nthen = []\n'
        '[[spec]]\nname = "bad"\nwhen.type = "go"\nthen = []\n'
        '[[spec]]\nname = "broken"\nwhen.type = "break"\nthen = []\n'
    )
    result = project("test", "s.toml", "-o", "table")
    lines = result.out.decode().splitlines()
    assert (result.code, result.err) == (1, "evcli: 2 of 3 specs failed\n")
    assert lines[:5] == ["ok      good", "FAILED  bad  s.toml:5", "  --- expected", "  +++ actual", "   {"]
    assert '  +      "type": "done"' in lines
    assert lines[-2] == "FAILED  broken  s.toml:9"
    assert lines[-1].startswith("  it.py failed on the command break to spec@0: KeyError: 'x'")
    colored = project("test", "s.toml", "-o", "table", "--color", "always").out.decode()
    assert "\x1b[32mok\x1b[0m" in colored
    assert "\x1b[31m--- expected\x1b[0m" in colored
    assert project("test", "s.toml", "-q").out == b""
    good = project.ok("test", "-", "-o", "table", stdin=b'{"when":{"type":"nothing"},"then":[]}')
    assert good.out.decode().splitlines() == ["ok      number 1", "1 spec passed"]
    assert project.ok("test", "-", "-q", "-o", "table", stdin=b'{"when":{"type":"nothing"},"then":[]}').out == b""


def test_the_nearest_configuration_upwards_from_a_spec_decides(project: Evcli, tmp_path: Path) -> None:
    deeper = tmp_path / "more" / "specs"
    deeper.mkdir(parents=True)
    (deeper / "s.jsonl").write_text('{"given":[{"type":"a"}],"then":{"state":1}}\n')
    assert project("test", "more/specs/s.jsonl").code == 1
    (tmp_path / "more" / "evcli.toml").write_text('[streams."**"]\nreducer = "count"\n')
    project.ok("test", "more/specs/s.jsonl")
    assert project("test", "more/specs/s.jsonl", "--config", "evcli.toml").code == 1


def test_code_that_is_not_trusted_does_not_run(project: Evcli) -> None:
    project.ok("trust", "--remove", ".", "-q")
    spec = b'{"when":{"type":"nothing"},"then":[]}'
    assert "evcli trust" in project.fails(77, "test", "-", stdin=spec)
    project.ok("test", "-", "--decider", "it.py", stdin=spec)


def test_a_stream_without_a_decider_is_a_spec_that_fails(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "evcli.toml").write_text("")
    actual = _one(project, when={"type": "x"}, then=[])["actual"]
    assert isinstance(actual, dict)
    assert "nothing decides on commands to spec" in actual["error"]


def test_what_is_asked_wrongly_is_told(project: Evcli) -> None:
    assert "no spec is named" in project.fails(2, "test")
    assert "takes no spec files" in project.fails(2, "test", "s.toml", "--record", "a@1")
    for text in ("a", "a@", "a@0", "a@1..2"):
        assert "no" in project.fails(2, "test", "--record", text)
    project.fails(74, "test", "nowhere.toml")
    project.fails(4, "test", "--record", "a@1")


def _recorded(evcli: Evcli, place: str) -> dict[str, object]:
    """Record a spec, run it at once, and return it."""
    line = evcli.ok("test", "--record", place).out
    assert line.count(b"\n") == 1
    assert evcli.ok("test", "-", stdin=line).json["ok"]
    found: dict[str, object] = json.loads(line)
    return found


def test_what_is_recorded_of_the_bank_passes_at_once(samples: Evcli) -> None:
    samples.ok("append", "--from", "bank.jsonl", "-q")
    at = samples.ok("do", "accounts/ann", "withdraw", "amount:=3", "--actor", "ann").json["version"]
    withdrawn = _recorded(samples, f"accounts/ann@{at}")
    given = withdrawn["given"]
    assert isinstance(given, list)
    assert len(given) == at - 1
    assert withdrawn["when"] == {"type": "withdraw", "data": {"amount": 3}}
    assert withdrawn["then"] == [{"type": "money.withdrawn", "data": {"amount": 3}}]
    receipt = samples.ok("do", "accounts/ann", "transfer", "amount:=5", "to=accounts/ben").json
    ann, ben = (write["version"] for write in receipt["writes"])
    sent = _recorded(samples, f"accounts/ann@{ann}")
    assert sent == _recorded(samples, f"accounts/ben@{ben}")
    assert sent["name"] == f"accounts/ann@{ann} transfer"
    assert len(sent["given"]) == ann + ben - 2  # type: ignore[arg-type]  # a list, or this fails
    state = _recorded(samples, "accounts/ann@3")
    assert state["then"] == {"state": samples.ok("replay", "accounts/ann@3").json}


def test_what_is_recorded_of_the_users_passes_at_once(samples: Evcli) -> None:
    for user, email in (("ann", "a@example.org"), ("bob", "b@example.org")):
        samples.ok("do", f"users/{user}", "register", f"email={email}", "-q")
        assert _recorded(samples, f"users/{user}@1")["given"] == []


def test_what_a_worker_did_is_recorded_without_what_it_noted_beside(samples: Evcli) -> None:
    samples.ok("submit", "users/ann", "register", "email=a@example.org", "-q")
    samples.ok("work", "--once", "-q")
    assert _recorded(samples, "users/ann@1")["then"] == [
        {"type": "user.registered", "data": {"email": "a@example.org"}}
    ]
    samples.fails(65, "test", "--record", "evcli/commands@1")


def test_any_event_of_a_commit_stands_for_all_of_it(project: Evcli, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(DECIDER.replace("return []", 'return [("one", 1), ("two", 2)]'))
    for _ in range(2):
        project.ok("do", "s", "nothing", "-q")
    assert _recorded(project, "s@3") == _recorded(project, "s@4")
    assert _recorded(project, "s@4")["then"] == [{"type": "one", "data": 1}, {"type": "two", "data": 2}]
    assert len(_recorded(project, "s@4")["given"]) == 2  # type: ignore[arg-type]  # a list, or this fails


def test_a_command_whose_events_are_all_elsewhere_is_recorded_with_its_own_stream(
    project: Evcli, tmp_path: Path
) -> None:
    (tmp_path / "it.py").write_text(DECIDER.replace("return []", 'return [("other", "a.done", state["n"])]'))
    for stream in ("s", "s", "other"):
        project.ok("append", stream, "a", "-q")
    project.ok("do", "s", "nothing", "-q")
    recorded = _recorded(project, "other@2")
    assert (recorded["stream"], len(recorded["given"])) == ("s", 3)  # type: ignore[arg-type]  # a list, or this fails
    assert recorded["then"] == [{"stream": "other", "type": "a.done", "data": 2}]
    seen = {"when": {"type": "nothing"}, "then": [{"stream": "other", "type": "a.done", "data": 0, "meta": {}}]}
    assert _one(project, **seen)["ok"]
