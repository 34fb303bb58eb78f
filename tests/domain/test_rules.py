import json
import tomllib
from collections.abc import Callable
from copy import deepcopy
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.events import Event
from evcli.domain.rules import OPERATORS, BadRule, compile_rules
from evcli.errors import CodeFailed

TIME = "2026-11-23T08:00:00.000001Z"


def event(data: Any, kind: str = "e", version: int = 1) -> Event:
    return {"position": 9, "stream": "items/a", "version": version, "time": TIME, "type": kind, "data": data}


def evolve(state: Any, action: Any, data: Any = None) -> Any:
    """Give the state after one event whose type has this action."""
    state = deepcopy(state)
    return compile_rules({"on": {"e": action}}).fold(state, [event(data)])


def failure(state: Any, action: Any, data: Any = None) -> str:
    with pytest.raises(CodeFailed) as caught:
        evolve(state, action, data)
    where, _, problem = caught.value.message.partition(": ")
    assert where == "the reducer failed on items/a@1 (e)"
    return problem.removeprefix("ValueError: ")


def test_the_example_of_the_design_works() -> None:
    definition = tomllib.loads("""
        initial = { qty = 0 }
        [on]
        "item.received" = { inc = { qty = "/data/qty" }, set = { "last/at" = "/time" } }
        "item.recounted" = { set = { qty = "/data/qty" }, unset = ["last"] }
        "item.retired"  = "reset"
    """)
    rules = compile_rules(definition)
    history = [
        event({"qty": 5}, "item.received"),
        event({"qty": 2}, "item.received"),
        event({"qty": 99}, "item.ignored"),
        event({"qty": 6}, "item.recounted"),
        event({}, "item.retired"),
    ]
    states = [rules.fold(rules.initial(), history[:count]) for count in range(6)]
    assert states == [
        {"qty": 0},
        {"qty": 5, "last": {"at": TIME}},
        {"qty": 7, "last": {"at": TIME}},
        {"qty": 7, "last": {"at": TIME}},
        {"qty": 6},
        {"qty": 0},
    ]
    assert rules.types == ("item.received", "item.recounted", "item.retired")


def test_the_help_has_every_operator_and_its_examples_compile() -> None:
    text = (files("evcli.cli") / "topics" / "reducers.md").read_text(encoding="utf-8")
    assert set(OPERATORS) <= {line.split(" ")[0] for line in text.splitlines()}
    tables = [tomllib.loads(part.split("```")[0])["streams"] for part in text.split("```toml")[1:]]
    declared = [each["reducer"] for table in tables for each in table.values() if isinstance(each["reducer"], dict)]
    assert [compile_rules(definition).initial() for definition in declared] == [{"qty": 0}]


@pytest.mark.parametrize(
    ("state", "action", "data", "after"),
    [
        ({}, {"set": {"a": "/data"}}, {"x": [1]}, {"a": {"x": [1]}}),
        ({"a": 1}, {"set": {"a": "/data/x"}}, {"x": None}, {"a": None}),
        ({"a": 1}, {"set": {"a": "/data/none"}}, {}, {"a": 1}),
        ({}, {"set": {"a/b/c": 1}}, None, {"a": {"b": {"c": 1}}}),
        ({}, {"set": {"a~1b/c~0d": 1}}, None, {"a/b": {"c~d": 1}}),
        ({}, {"set": {"a/": 1}}, None, {"a": {"": 1}}),
        ({"l": [1, {"q": 2}]}, {"set": {"l/0": 5}, "inc": {"l/1/q": 1}}, None, {"l": [5, {"q": 3}]}),
        ([1, 2], {"inc": {"1": 1}}, None, [1, 3]),
        ({}, {"set": {"a": {"literal": "/data/x"}}}, {"x": 1}, {"a": "/data/x"}),
        ({}, {"set": {"a": {"literal": {"literal": ["/x"]}}}}, None, {"a": {"literal": ["/x"]}}),
        ({}, {"set": {"a": "plain"}}, None, {"a": "plain"}),
        ({}, {"set": {"a": ["/type", "/data/none", {"v": "/version", "w": "/id"}]}}, {}, {"a": ["e", {"v": 1}]}),
        ({}, {"inc": {"a/b": "/data/n"}}, {"n": 2.5}, {"a": {"b": 2.5}}),
        ({"n": 1}, {"inc": {"n": -3}}, None, {"n": -2}),
        ({"n": 3}, {"mul": {"n": "/data/n"}}, {"n": 2}, {"n": 6}),
        ({}, {"mul": {"n": 7}}, None, {"n": 0}),
        ({}, {"min": {"n": 7}}, None, {"n": 7}),
        ({"n": 7}, {"min": {"n": 8}}, None, {"n": 7}),
        ({"n": 7}, {"min": {"n": 6.5}}, None, {"n": 6.5}),
        ({"n": 7}, {"max": {"n": 8}}, None, {"n": 8}),
        ({"t": "2026-01"}, {"max": {"t": "/time"}}, None, {"t": TIME}),
        ({}, {"push": {"l": "/data"}}, [1], {"l": [[1]]}),
        ({"l": [1]}, {"push": {"l": 1}}, None, {"l": [1, 1]}),
        ({"l": [1]}, {"add_to_set": {"l": 1.0}}, None, {"l": [1]}),
        ({"l": [1, 0]}, {"add_to_set": {"l": True}}, None, {"l": [1, 0, True]}),
        ({"l": [[False]]}, {"add_to_set": {"l": "/data"}}, [0], {"l": [[False], [0]]}),
        ({"l": [{"a": 1, "b": 2}]}, {"add_to_set": {"l": "/data"}}, {"b": 2, "a": 1}, {"l": [{"a": 1, "b": 2}]}),
        ({}, {"add_to_set": {"l": "x"}}, None, {"l": ["x"]}),
        ({"a": {"b": 1, "c": 2}, "d": 3}, {"unset": ["a/b", "d", "x/y"]}, None, {"a": {"c": 2}}),
        ({"l": [1, 2]}, {"unset": ["l/0"]}, None, {"l": [None, 2]}),
        ({"a": 1}, {"unset": ["a/b"]}, None, {"a": 1}),
        ({"a": 1}, {}, None, {"a": 1}),
        ({"a": 1}, "reset", None, {}),
        ({"a": {"x": 1}}, {"unset": ["a"], "set": {"a/y": 2}}, None, {"a": {"y": 2}}),
    ],
)
def test_an_action_gives_the_state(state: Any, action: Any, data: Any, after: Any) -> None:
    assert json.dumps(evolve(state, action, data)) == json.dumps(after)


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "unset"])
def test_a_pointer_that_leads_nowhere_leaves_the_state_as_it_is(name: str) -> None:
    assert evolve({"n": 1}, {name: {"n": "/data/none", "a/b": "/meta/actor"}}, {}) == {"n": 1}


@pytest.mark.parametrize(
    ("state", "action", "data", "problem"),
    [
        ({"n": "1"}, {"inc": {"n": 1}}, None, "inc needs a number at 'n', not a string"),
        ({"n": True}, {"inc": {"n": 1}}, None, "inc needs a number at 'n', not true or false"),
        ({"n": None}, {"mul": {"n": 1}}, None, "mul needs a number at 'n', not null"),
        ({}, {"inc": {"n": "/data"}}, "5", "inc takes a number at 'n', not a string"),
        ({}, {"mul": {"n": "/data"}}, True, "mul takes a number at 'n', not true or false"),
        ({}, {"min": {"n": "/data"}}, [1], "min takes a number or a string at 'n', not an array"),
        ({"n": "a"}, {"max": {"n": "/data"}}, 1, "max at 'n' cannot compare a number with a string"),
        ({"n": None}, {"max": {"n": "/data"}}, 1, "max at 'n' cannot compare a number with null"),
        ({"n": 1}, {"push": {"n": 1}}, None, "push needs an array at 'n', not a number"),
        ({"n": {}}, {"add_to_set": {"n": 1}}, None, "add_to_set needs an array at 'n', not an object"),
        ({"n": 1}, {"set": {"n/a": 1}}, None, "there can be nothing at 'n/a', because 'n' is a number"),
        (None, {"set": {"n": 1}}, None, "there can be nothing at 'n', because the state is null"),
        ({"l": []}, {"set": {"l/0": 1}}, None, "there can be nothing at 'l/0', because 'l' is an array of 0"),
        ({"n": 2**64 - 1}, {"inc": {"n": 1}}, None, None),
        ({"n": -(2**63)}, {"mul": {"n": 2}}, None, None),
        ({"n": 1e308}, {"mul": {"n": 10}}, None, None),
    ],
)
def test_what_an_operator_cannot_do_is_said_in_a_sentence(
    state: Any, action: Any, data: Any, problem: str | None
) -> None:
    expected = problem or "the result at 'n' is beyond a double, or an integer outside -2^63…2^64-1"
    assert failure(state, action, data) == expected


def test_the_first_type_or_glob_that_matches_decides() -> None:
    on = {"item.lost": {}, "item.*": {"inc": {"items": 1}}, "*": {"inc": {"others": 1}}}
    history = [event(None, kind) for kind in ("item.lost", "item.sold", "order.placed", "item.sold")]
    assert compile_rules({"on": on}).fold({}, history) == {"items": 2, "others": 1}


def test_reset_gives_the_initial_state_again_and_again() -> None:
    rules = compile_rules({"initial": {"l": []}, "on": {"add": {"push": {"l": 1}}, "clear": "reset"}})
    history = [event(None, kind) for kind in ("add", "clear", "add", "clear", "add")]
    assert rules.fold(rules.initial(), history) == {"l": [1]}
    assert rules.initial() == {"l": []}


def test_later_changes_of_the_definition_do_not_reach_the_rules() -> None:
    definition: dict[str, Any] = {"initial": {"l": []}, "on": {"e": {"set": {"a": {"literal": [1]}}}}}
    rules = compile_rules(definition)
    definition["initial"]["l"].append(1)
    definition["on"]["e"]["set"]["a"]["literal"].append(2)
    assert rules.initial() == {"l": []}
    assert rules.fold({}, [event(None)]) == {"a": [1]}


def test_changing_the_state_later_changes_neither_event_nor_rule() -> None:
    put = {"set": {"a": "/data", "b": {"literal": {"l": []}}, "c": ["/data/l"]}}
    on = {"put": put, "add": {"push": {"a/l": 1, "b/l": 1, "c/0": 1}}}
    history = [event({"l": [0]}, "put"), event(None, "add")]
    untouched = deepcopy(history)
    for _ in range(2):
        assert compile_rules({"on": on}).fold({}, history) == {"a": {"l": [0, 1]}, "b": {"l": [1]}, "c": [[0, 1]]}
        assert history == untouched


WRONG: list[tuple[Any, str, str]] = [
    ({"on": {}, "types": []}, "types", "no such key"),
    ({"on": {}, "a b": []}, '"a b"', "no such key"),
    ({"initial": 0}, "on", "missing"),
    ({"on": []}, "on", "an array, where a table is needed"),
    ({"initial": {"x y": float("nan")}, "on": {}}, 'initial."x y"', "none that JSON can hold"),
    ({"initial": [2**64], "on": {}}, "initial", "none that JSON can hold"),
    ({"initial": {"at": tomllib.loads("d = 2026-11-23")["d"]}, "on": {}}, "initial.at", "in quotes"),
    ({"on": {"a.b": "stop"}}, 'on."a.b"', 'a table of operators, or "reset"'),
    ({"on": {"a.b": "delete"}}, 'on."a.b"', "a row of a view"),
    ({"on": {"a.b": 1}}, 'on."a.b"', "a number"),
    ({"on": {"a": {"b": {"inc": {"n": 1}}}}}, "on.a.b", "a type with dots stands in quotes"),
    ({"on": {"a.b": {"$inc": {"n": 1}}}}, 'on."a.b"."$inc"', "set, inc, mul, min, max, push, add_to_set, unset"),
    ({"on": {"a": {"inc": 1}}}, "on.a.inc", "a number, where a table is needed"),
    ({"on": {"a": {"inc": {"": 1}}}}, 'on.a.inc.""', "without its first slash"),
    ({"on": {"a": {"inc": {"/n": 1}}}}, 'on.a.inc."/n"', "without its first slash"),
    ({"on": {"a": {"set": {"n~": 1}}}}, 'on.a.set."n~"', "write ~ as ~0"),
    ({"on": {"a": {"set": {"n": "/data/~"}}}}, "on.a.set.n", "not a JSON pointer"),
    ({"on": {"a": {"set": {"n": "/qty"}}}}, "on.a.set.n", '"/data/qty"'),
    ({"on": {"a": {"set": {"n": "/srv/x"}}}}, "on.a.set.n", '{ literal = "/srv/x" }'),
    ({"on": {"a": {"set": {"n": {"literal": 1, "x": 2}}}}}, "on.a.set.n", "beside 'literal'"),
    ({"on": {"a": {"set": {"n": {"x": {"literal": 1, "y": 2}}}}}}, "on.a.set.n.x", "beside 'literal'"),
    ({"on": {"a": {"set": {"n": [float("inf")]}}}}, "on.a.set.n", "none that JSON can hold"),
    ({"on": {"a": {"inc": {"n": "five"}}}}, "on.a.inc.n", "inc takes a number at 'n', not a string"),
    ({"on": {"a": {"mul": {"n": True}}}}, "on.a.mul.n", "mul takes a number"),
    ({"on": {"a": {"max": {"n": ["/data/n"]}}}}, "on.a.max.n", "max takes a number or a string"),
    ({"on": {"a": {"unset": "n"}}}, "on.a.unset", "a list of places"),
    ({"on": {"a": {"unset": ["n", 1]}}}, "on.a.unset", "a list of places"),
    ({"on": {"a": {"unset": [""]}}}, "on.a.unset", "without its first slash"),
]


@pytest.mark.parametrize(("definition", "key", "problem"), WRONG)
def test_a_wrong_definition_is_refused_with_its_key(definition: Any, key: str, problem: str) -> None:
    with pytest.raises(BadRule) as caught:
        compile_rules(definition)
    assert caught.value.key == key
    assert problem in caught.value.problem
    assert isinstance(caught.value, ValueError)


# The same rules read naively: look everything up when an event comes, copy everything.

GONE = object()
Change = Callable[[Any, Any], Any]


def number(value: Any) -> Any:
    assert isinstance(value, int | float)
    assert not isinstance(value, bool)
    return value


def ordered(old: Any, value: Any) -> list[Any]:
    found = [value] if old is GONE else [old, value]
    assert all(isinstance(each, str) for each in found) or all(number(each) is each for each in found)
    return found


def array(old: Any) -> Any:
    assert old is GONE or isinstance(old, list)
    return [] if old is GONE else old


def canonical(value: Any) -> str:
    """Give two values the same text just when they are the same JSON value."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


NAIVE: dict[str, Change] = {
    "set": lambda _old, value: value,
    "inc": lambda old, value: (0 if old is GONE else number(old)) + number(value),
    "mul": lambda old, value: 0 * number(value) if old is GONE else number(old) * number(value),
    "min": lambda old, value: min(ordered(old, value)),
    "max": lambda old, value: max(ordered(old, value)),
    "push": lambda old, value: [*array(old), value],
    "add_to_set": lambda old, value: (
        array(old) if canonical(value) in map(canonical, array(old)) else [*array(old), value]
    ),
}


def look_up(value: Any, tokens: list[str]) -> Any:
    for token in tokens:
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and token in map(str, range(len(value))):
            value = value[int(token)]
        else:
            return GONE
    return value


def value_of(definition: Any, of: Any) -> Any:
    if isinstance(definition, str) and definition[:1] == "/":
        return look_up(of, definition[1:].split("/"))
    if isinstance(definition, list):
        return [found for each in definition if (found := value_of(each, of)) is not GONE]
    if isinstance(definition, dict):
        if "literal" in definition:
            return definition["literal"]
        return {name: found for name, each in definition.items() if (found := value_of(each, of)) is not GONE}
    return definition


def put(state: Any, tokens: list[str], change: Callable[[Any], Any]) -> Any:
    """Give a copy of the state with the place changed."""
    if not tokens:
        return change(state)
    if state is GONE:
        state = {}
    if isinstance(state, list):
        index = int(tokens[0])
        assert 0 <= index < len(state)
        return [put(each, tokens[1:], change) if at == index else each for at, each in enumerate(state)]
    assert isinstance(state, dict)
    return {**state, tokens[0]: put(state.get(tokens[0], GONE), tokens[1:], change)}


def changing(change: Change, value: Any) -> Callable[[Any], Any]:
    return lambda old: change(old, value)


def naive(definition: Any, state: Any, of: Any) -> Any:
    action: Any = next((each for kind, each in definition["on"].items() if fnmatchcase(of["type"], kind)), {})
    if action == "reset":
        return definition["initial"]
    for operator, argument in action.items():
        if operator == "unset":
            for place in argument:
                state = without(state, place.split("/"))
            continue
        for place, rule in argument.items():
            value = value_of(rule, of)
            if value is not GONE:
                state = put(state, place.split("/"), changing(NAIVE[operator], value))
    return state


def without(state: Any, tokens: list[str]) -> Any:
    if look_up(state, tokens) is GONE:
        return state
    *way, last = tokens
    return put(
        state,
        way,
        lambda held: (
            [None if str(at) == last else each for at, each in enumerate(held)]
            if isinstance(held, list)
            else {name: each for name, each in held.items() if name != last}
        ),
    )


scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, "x", "y"])
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3),
    max_leaves=5,
)
places = st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=3).map("/".join)
pointers = st.sampled_from(["/data", "/data/a", "/data/b", "/data/a/0", "/data/0", "/version", "/id"])
rule_values = pointers | st.recursive(
    scalars | pointers | st.builds(lambda value: {"literal": value}, json_values),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)
amounts = st.integers(-2, 3) | st.sampled_from([0.5, 2.5]) | pointers
orderables = amounts | st.sampled_from(["x", "y"])
tables: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.dictionaries(places, rule_values, max_size=2) for name in ("set", "push", "add_to_set")},
    **{name: st.dictionaries(places, amounts, max_size=2) for name in ("inc", "mul")},
    **{name: st.dictionaries(places, orderables, max_size=2) for name in ("min", "max")},
    "unset": st.lists(places, max_size=2),
}
actions = st.just("reset") | st.lists(st.sampled_from(sorted(tables)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: tables[name] for name in names})
)
definitions = st.fixed_dictionaries(
    {
        "initial": st.dictionaries(st.sampled_from("ab0"), json_values, max_size=2),
        "on": st.dictionaries(st.sampled_from(["x", "y", "x*", "*"]), actions, min_size=1, max_size=3),
    }
)
histories = st.lists(
    st.builds(event, json_values, st.sampled_from(["x", "y", "xy"]), st.integers(1, 9)), min_size=1, max_size=4
)


def test_every_operator_is_in_the_property_test() -> None:
    assert set(tables) == set(OPERATORS)


@settings(max_examples=400)
@given(definitions, histories)
def test_rules_do_what_reading_them_naively_does(definition: Any, history: list[Event]) -> None:
    untouched = deepcopy(history)
    rules = compile_rules(definition)
    state, expected = rules.initial(), deepcopy(definition["initial"])
    for each in history:
        try:
            expected = naive(definition, expected, each)
        except (AssertionError, ValueError):
            with pytest.raises(CodeFailed):
                rules.fold(state, [each])
            break
        state = rules.fold(state, [each])
        assert canonical(state) == canonical(expected)
    assert history == untouched
