from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli import Store
from evcli.errors import Damaged, StreamNotFound, Usage
from evcli.history import Selection, check_selection, follow_lines, front_of, select_lines, select_text
from evcli.storage.contract import Head
from evcli.storage.memory import MemoryStore


def make(count: int = 30) -> Store:
    store = Store(MemoryStore())
    for n in range(1, count + 1):
        store.append("ab"[n % 2], [(f"{'x' if n % 3 else 'y'}.t", n)])
    return store


STORE = make()
ALL = [line for lines in STORE.log.read_all(end=30) for line in lines]

selections = st.builds(
    Selection,
    streams=st.sampled_from([(), ("a",), ("b",), ("a", "b"), ("*",), ("a", "none*")]),
    since=st.none() | st.sampled_from([front_of(line).time for line in ALL]),
    until=st.none() | st.sampled_from([front_of(line).time for line in ALL]),
    after_position=st.integers(0, 31),
    types=st.sampled_from([(), ("x.*",), ("*.t",), ("y.?", "z")]),
    limit=st.none() | st.integers(0, 31),
    tail=st.none() | st.integers(0, 31),
    reverse=st.booleans(),
    after=st.just(0),
    to=st.none(),
)


def by_hand(selection: Selection) -> list[bytes]:
    wanted = {"": "ab", "a": "a", "b": "b", "a b": "ab", "*": "ab", "a none*": "a"}[" ".join(selection.streams)]
    kinds = {"": "xy", "x.*": "x", "*.t": "xy", "y.? z": "y"}[" ".join(selection.types)]
    found = []
    for line in ALL:
        front = front_of(line)
        kind = "y" if front.position % 3 == 0 else "x"
        in_time = (selection.since or "") <= front.time <= (selection.until or "~")
        if front.stream in wanted and kind in kinds and front.position > selection.after_position and in_time:
            found.append(line)
    if selection.tail is not None:
        found = found[len(found) - min(len(found), selection.tail) :]
    if selection.reverse:
        found.reverse()
    return found[: selection.limit]


@settings(max_examples=300, deadline=None)
@given(selection=selections)
def test_what_is_selected_is_what_one_would_pick_by_hand(selection: Selection) -> None:
    found = by_hand(selection)
    assert list(select_lines(STORE.log, selection, end=30)) == found
    assert b"".join(select_text(STORE.log, selection, end=30)) == b"".join(line + b"\n" for line in found)


def test_versions_need_one_plain_name() -> None:
    for selection in (Selection(after=1), Selection(("*",), to=1), Selection(("a", "b"), after=1)):
        with pytest.raises(Usage):
            check_selection(STORE.log, selection, end=30)
    check_selection(STORE.log, Selection(("a",), after=1, to=2), end=30)
    with pytest.raises(StreamNotFound):
        check_selection(STORE.log, Selection(("a", "none")), end=30)


def test_following_yields_what_is_committed_later_and_waits_in_between() -> None:
    store = make(3)
    waits = iter(["a", "b", "a"])

    def idle() -> None:
        store.append(next(waits), [("came", {})])

    found = follow_lines(store.log, Selection(("a",)), store.head(), idle=idle)
    assert [front_of(line).position for lines in islice(found, 2) for line in lines] == [4, 6]


def test_following_a_history_that_was_replaced_is_damage() -> None:
    store = make(3)
    ahead = Head(9, "0" * 64, "", 99)
    with pytest.raises((Damaged, Usage)):
        next(follow_lines(store.log, Selection(), ahead, idle=lambda: (_ for _ in ()).throw(Usage("idle"))))
