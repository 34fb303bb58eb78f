"""Conditions on what is not written: which events they are about, and that the look at bytes lets none of them slip."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.conditions import Condition, compile_condition, compile_prefilter, make_condition
from evcli.domain.events import Event
from evcli.errors import Usage

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS, st.integers(-5, 5), st.sampled_from([1.0, 1e2, True, None, [], {"a": 1}])
)


def registered(**data: Any) -> Event:
    time = "2026-11-23T08:00:00.000000Z"
    return {"position": 1, "stream": "users/1", "version": 1, "time": time, "type": "user.registered", "data": data}


def test_it_is_about_events_of_its_type_at_whose_places_its_values_stand() -> None:
    matches = compile_condition(make_condition("users/*", "user.*", {"/data/email": "a@x", "/data/n": 1}))
    assert matches(registered(email="a@x", n=1.0))
    assert not matches(registered(email="a@x", n=True))
    assert not matches(registered(email="A@x", n=1))
    assert not matches(registered(email="a@x"))


@pytest.mark.parametrize(
    ("streams", "kind", "where", "said"),
    [
        ("users/*/", "", {}, "no type"),
        ("us ers/*", "x", {}, "pattern"),
        ("users/1", "x", {"email": "a"}, "JSON pointer"),
        ("users/1", "x", {"/email": "a"}, "/data/email"),
        ("users/1", "x", {"": "a"}, "whole event"),
    ],
)
def test_what_cannot_be_a_condition_is_a_usage_error(streams: str, kind: str, where: dict[str, str], said: str) -> None:
    with pytest.raises(Usage) as found:
        make_condition(streams, kind, where)
    assert said in str(found.value)


@given(TEXTS, TEXTS, VALUES, st.sampled_from(["ascii", "utf-8"]), st.sampled_from(["", "*", "?", ".*"]))
def test_the_look_at_bytes_lets_through_whatever_is_meant(
    kind: str, key: str, value: Any, spelling: str, glob: str
) -> None:
    event = registered(**{key: value}) | {"type": kind + "x"}
    text = json.dumps(event["data"], ensure_ascii=spelling == "ascii")
    line = f'{{"time":"…Z","type":{json.dumps(event["type"], ensure_ascii=False)},"data":{text}}}'.encode()
    pointer = "/data/" + key.replace("~", "~0").replace("/", "~1")
    condition = Condition("users/*", kind + glob if glob else kind + "x", ((pointer, value),))
    if compile_condition(condition)(event):
        assert compile_prefilter(condition)(line)


def test_the_look_at_bytes_spares_parsing_other_types_and_other_texts() -> None:
    may_match = compile_prefilter(make_condition("**", "user.registered", {"/data/email": "a@x"}))
    assert may_match(b'{"time":"Z","type":"user.registered","data":{"email":"a@x"}}')
    assert not may_match(b'{"time":"Z","type":"user.removed","data":{"email":"a@x"}}')
    assert not may_match(b'{"time":"Z","type":"user.registered","data":{"email":"b@x"}}')


def test_it_is_told_as_it_is_given_on_the_command_line() -> None:
    condition = make_condition("users/*", "user.*", {"/data/name": "Ann Lee", "/data/n": 1, "/data/x": None}, after=7)
    assert str(condition) == "users/* user.* '/data/name=Ann Lee' /data/n:=1 /data/x:=null after position 7"
    assert str(make_condition("a", "b", {"/data/x": "it's"})) == "a b '/data/x=it'\"'\"'s'"
