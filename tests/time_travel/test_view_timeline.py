"""What is said of a view's rows is what looking at all of them after each event says."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli import Store
from evcli.domain.patches import apply_patch, to_operation
from evcli.domain.pointers import MISSING, resolve
from evcli.domain.values import same_json
from evcli.errors import Usage
from evcli.storage.codec import loads
from evcli.storage.sql_checks import RowCheck
from evcli.time_travel.bisecting import Tally, scan_view
from evcli.time_travel.blaming import causes
from evcli.time_travel.checking import FunctionCheck, SqlCheck
from evcli.time_travel.differing import changes_between_rows
from evcli.time_travel.view_timeline import ViewTimeline
from tests.read_side.test_states import Folder
from tests.read_side.viewing import by_hand, random_events, received, shop

EXAMPLES = settings(max_examples=25, deadline=None)
rows_of_a_view = st.dictionaries(st.text(max_size=2), st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)))


def history(folder: Path, seed: int) -> tuple[Store, list[dict[str, Any]]]:
    """Return a shop with random events, and its rows after 0, 1, 2 … of them."""
    store = shop(folder)
    rng = random.Random(seed)
    for event in random_events(rng, rng.randint(1, 25), "ABC"):
        store.append(rng.choice(["inventory/x", "inventory/y"]), [event])
    events = list(store.read_all())
    return store, [by_hand(events[:count]) for count in range(len(events) + 1)]


def timeline(store: Store, **given: Any) -> ViewTimeline:
    return ViewTimeline(store.log, store.config.view("stock"), end=store.head().position, **given)


@EXAMPLES
@given(st.integers(0, 10_000), st.sampled_from(["A", "B", "Z"]), st.sampled_from([(), ("qty",), ("sales",)]))
def test_the_causes_of_a_rows_place_are_those_found_by_hand(seed: int, key: str, place: tuple[str, ...]) -> None:
    with Folder() as folder:
        store, rows = history(folder, seed)
        values = [resolve(one.get(key, MISSING), place) if key in one else MISSING for one in rows]
        expected = [
            (position, before, after)
            for position, (before, after) in enumerate(pairwise(values), 1)
            if not same_json(before, after)
        ]
        found = causes(key, place, MISSING, timeline(store).steps_of(key))
        assert [(loads(one.line or b"")["position"], one.before, one.after) for one in found] == expected


@EXAMPLES
@given(st.integers(0, 10_000), st.integers(-5, 10), st.integers(0, 12))
def test_a_scan_of_a_view_is_one_of_all_rows_after_each_event(seed: int, least: int, good: int) -> None:
    with Folder() as folder:
        store, rows = history(folder, seed)
        passing = [all(row["qty"] >= least for row in one.values()) for one in rows]
        good = next((n for n in range(min(good, len(passing) - 1), 0, -1) if passing[n]), 0)
        expected, holds = [], True
        for position in range(good + 1, len(rows)):
            if passing[position] != holds:
                holds = passing[position]
                expected.append((position, holds))
        columns = store.config.view("stock").columns
        for check in (
            SqlCheck(RowCheck("stock", columns, "qty >= :least", {"least": least}, what="--check")),
            FunctionCheck(lambda row: bool(row["qty"] >= least)),
            SqlCheck(RowCheck("stock", columns, "(select min(qty) from stock) >= :n", {"n": least}, what="--check")),
        ):
            found = list(scan_view(timeline(store), check, good=good, tally=Tally()))
            assert [(flip.number, flip.holds) for flip in found] == expected
            for flip in found:
                assert flip.key is not None
                patch = map(to_operation, flip.changes())
                made = apply_patch(rows[flip.number - 1].get(flip.key, MISSING), patch)
                assert same_json(made, rows[flip.number].get(flip.key, MISSING))


def test_events_that_were_skipped_and_later_moments_do_not_count(tmp_path: Path) -> None:
    store = shop(tmp_path)
    for qty, day in ((1, 1), (2, 2), (4, 3)):
        kind, data = received("A", qty)
        store.append("inventory/x", [{"type": kind, "data": data, "time": f"2026-01-0{day}T00:00:00Z"}])
    steps = timeline(store, until="2026-01-02T00:00:00.000000Z").steps_of("A")
    assert [step.state["qty"] for step in steps] == [1, 1 + 2]
    [step] = timeline(store, skipped=frozenset({1, 2})).steps_of("A")
    assert step.state["qty"] == 4


def test_a_position_named_good_that_is_not_is_an_error(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", -1), received("A", 1)])
    store.append("inventory/x", [received("B", 1)])
    check = FunctionCheck(lambda row: bool(row["qty"] >= 0))
    assert list(scan_view(timeline(store), check, good=2, tally=Tally())) == []
    with pytest.raises(Usage, match="fails at position 1 of view stock already"):
        list(scan_view(timeline(store), FunctionCheck(lambda row: bool(row["qty"] >= 0)), good=1, tally=Tally()))


@EXAMPLES
@given(rows_of_a_view, rows_of_a_view)
def test_the_changes_between_rows_are_a_patch_of_the_object_of_rows(before: Any, after: Any) -> None:
    found = changes_between_rows(iter(sorted(before.items())), iter(sorted(after.items())))
    assert apply_patch(before, map(to_operation, found)) == after
