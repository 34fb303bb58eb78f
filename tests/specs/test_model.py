from typing import Any

import pytest

from evcli.errors import BadSpec
from evcli.specs.files import read_specs
from evcli.specs.model import Place, read_spec

PLACE = Place("specs.jsonl", 3, 2)
WHEN = {"type": "withdraw", "data": {"amount": 5}}


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ([], ""),
        ({"whn": WHEN, "then": []}, "whn"),
        ({"name": "", "then": {"state": 1}}, "name"),
        ({"stream": "../x", "then": {"state": 1}}, "stream"),
        ({"stream": "evcli/commands", "then": {"state": 1}}, "stream"),
        ({"given": {"type": "a"}, "then": {"state": 1}}, "given"),
        ({"given": ["a"], "then": {"state": 1}}, "given[1]"),
        ({"given": [{"type": "a"}, {"typ": "a"}], "then": {"state": 1}}, "given[2]"),
        ({"given": [{"type": "a", "time": "noon"}], "then": {"state": 1}}, "given[1]"),
        ({"when": "withdraw", "then": []}, "when"),
        ({"when": {"data": 1}, "then": []}, "when.type"),
        ({"when": {"type": "a", "meta": {}}, "then": []}, "when.meta"),
        ({"when": WHEN}, "then"),
        ({"when": WHEN, "then": {}}, "then"),
        ({"when": WHEN, "then": "rejected"}, "then"),
        ({"when": WHEN, "then": {"evnts": []}}, "then.evnts"),
        ({"when": WHEN, "then": [{"type": "a", "time": "2026-01-01T00:00:00Z"}]}, "then[1].time"),
        ({"when": WHEN, "then": {"events": [{"type": "a"}, {"data": 1}]}}, "then.events[2]"),
        ({"when": WHEN, "then": {"rejected": False}}, "then.rejected"),
        ({"when": WHEN, "then": {"rejected": True, "state": 1}}, "then"),
        ({"then": []}, "then"),
        ({"then": {"rejected": True}}, "then"),
        ({"then": {"state": float("nan")}}, "then.state"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_spec_and_key(members: Any, key: str) -> None:
    with pytest.raises(BadSpec) as caught:
        read_spec(members, PLACE)
    assert caught.value.message.startswith("specs.jsonl:3: spec ")
    assert (caught.value.facts["key"], caught.value.exit_code) == (key, 65)
    assert f"{key}: " in caught.value.message


def test_a_line_of_the_log_can_be_given_as_it_is() -> None:
    line = b'{"position":7,"stream":"a","version":3,"time":"2026-01-01T00:00:00Z","type":"t","data":10.00,"seal":"00"}'
    (spec,) = read_specs("s.jsonl", b'{"given":[' + line + b'],"then":{"state":1}}\n')
    assert spec.given[0].stream == "a"
    assert spec.given[0].event.time == "2026-01-01T00:00:00.000000Z"


def test_a_toml_file_holds_one_spec_or_many_with_a_stream_for_all() -> None:
    (one,) = read_specs("one.toml", b'name = "one"\nthen.state = {}\n')
    assert (one.name, one.place.line) == ("one", 1)
    text = b'stream = "s"\n# [[spec]]\n[[spec]]\nthen.state = 1\n\n[[spec]]\nstream = "t"\nthen.state = 1\n'
    many = read_specs("many.toml", text)
    assert [(spec.name, spec.stream, spec.place.line) for spec in many] == [("number 1", "s", 3), ("number 2", "t", 6)]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("s.jsonl", b"", "s.jsonl: there is no spec in it"),
        ("s.toml", b"# none\n", "s.toml: there is no spec in it"),
        ("s.jsonl", b'\n{"then":{"state":1}}\n{"then":\n', "s.jsonl:3: not valid JSON"),
        ("s.jsonl", b'{"name":"a","name":"b"}', "stands twice"),
        ("s.jsonl", b"\xff", "s.jsonl:1: not UTF-8"),
        ("s.toml", b"then = \n", "s.toml:1: "),
        ("s.toml", b"\xff", "not UTF-8"),
        ("s.toml", b'when = 1\n[[spec]]\nname = "x"\n', "when: beside [[spec]] stands only stream"),
        ("s.toml", b'[spec]\nname = "x"\n', "write [[spec]] before each"),
        ("s.toml", b"then.state = 2026-01-01\n", "then.state: not JSON"),
    ],
)
def test_a_file_that_is_no_spec_file_is_refused(file: str, content: bytes, said: str) -> None:
    with pytest.raises(BadSpec) as caught:
        read_specs(file, content)
    assert said in str(caught.value)
