from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.differences import diff_rows, first_difference
from evcli.domain.pointers import MISSING, parse_pointer, resolve
from evcli.domain.values import same_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("a/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def _texts(expected: object, actual: object) -> list[str]:
    return ["".join(text for text, _ in row) for row in diff_rows(expected, actual)]


@given(VALUES, VALUES)
def test_the_first_difference_leads_to_what_differs_and_there_is_none_where_nothing_does(
    one: object, other: object
) -> None:
    found = first_difference(one, other)
    assert (found is None) == same_json(one, other)
    assert (diff_rows(one, other) == []) == same_json(one, other)
    if found is not None:
        assert not same_json(found.one, found.other) or MISSING in (found.one, found.other)
        tokens = parse_pointer(found.pointer)
        assert (resolve(one, tokens), resolve(other, tokens)) == (found.one, found.other)


def test_a_diff_shows_neither_another_order_of_members_nor_another_spelling() -> None:
    shown = _texts({"a": 1, "b": 2, "c": [5]}, {"c": [5.0], "b": 3, "a": 1})
    assert [line for line in shown if line[0] in "+-"] == ["--- expected", "+++ actual", '-  "b": 2', '+  "b": 3']


def test_a_diff_shows_no_line_for_a_comma() -> None:
    shown = _texts({"a": 1}, {"a": 1, "b": 2})
    assert [line for line in shown if line[0] in "+-"] == ["--- expected", "+++ actual", '+  "b": 2']


def test_a_diff_says_nothing_that_a_terminal_obeys() -> None:
    assert _texts("\x1b[2J", "a\u202eb")[2:] == ['-"\\u001b[2J"', '+"a\\u202eb"']
