"""What every store does, whatever it is made of: one file of tests, run over each back end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evcli.domain.conditions import Condition, make_condition
from evcli.domain.events import Write
from evcli.errors import ConditionNotMet, IdReused, Refused, Usage, WrongExpectedVersion
from evcli.storage import local, memory
from evcli.storage.contract import BookmarkLost, EventStore, Plan
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from tests.storage.building import all_lines, event, stored_lines, write

Clock = Callable[[str], None]
WAIT = 10.0


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, store_path: Path, tmp_path: Path) -> EventStore:
    stores: dict[str, Callable[[], EventStore]] = {
        "local": lambda: LocalStore(str(store_path), cache=str(tmp_path / "cache")),
        "memory": MemoryStore,
    }
    return stores[request.param]()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    def set_to(time: str) -> None:
        for module in (local, memory):
            monkeypatch.setattr(module, "now", lambda: f"2026-11-23T{time}.000000Z")

    return set_to


def append(store: EventStore, *writes: Write) -> tuple[int, int, int]:
    """Append; return position, count and repeated of the receipt."""
    receipt = store.append(writes, lock_wait=WAIT)
    return receipt.position, receipt.count, receipt.repeated


def versions(lines: list[bytes]) -> list[int]:
    return [json.loads(line)["version"] for line in lines]


def test_append_tells_version_position_count_and_time_of_the_last_event(store: EventStore, clock: Clock) -> None:
    clock("08:00:00")
    store.append([write("a", 1, 2)], lock_wait=WAIT)
    receipt = store.append([write("b", 3)], lock_wait=WAIT)
    assert receipt.as_json() == {
        "stream": "b",
        "version": 1,
        "position": 3,
        "count": 1,
        "time": "2026-11-23T08:00:00.000000Z",
    }


def test_a_commit_over_several_streams_tells_each_of_its_writes(store: EventStore) -> None:
    append(store, write("b"))
    receipt = store.append([write("b", 1, 2), write("a", 3)], lock_wait=WAIT)
    found = receipt.as_json()
    del found["time"]
    writes = [{"stream": "b", "version": 3, "count": 2}, {"stream": "a", "version": 1, "count": 1}]
    assert found == {"position": 4, "count": 3, "writes": writes}


def test_positions_run_through_the_writes_in_their_order(store: EventStore) -> None:
    append(store, write("b", 1, 2), write("a", 3))
    events = [json.loads(line) for line in all_lines(store)]
    assert [(found["position"], found["stream"], found["version"]) for found in events] == [
        (1, "b", 1),
        (2, "b", 2),
        (3, "a", 1),
    ]
    assert [found.get("commit") for found in events] == [None, [1, 3], [1, 3]]


@pytest.mark.parametrize(
    ("expect", "at", "fits"),
    [
        ("any", 0, True),
        ("any", 2, True),
        (0, 0, True),
        (0, 2, False),
        (2, 2, True),
        (1, 2, False),
        (3, 2, False),
        (1, 0, False),
        ("exists", 0, False),
        ("exists", 2, True),
    ],
)
def test_append_stores_only_at_the_expected_version(store: EventStore, expect: int | str, at: int, fits: bool) -> None:  # noqa: FBT001 (a table's column)
    append(store, write("other"))
    if at:
        append(store, write("a", *range(at)))
    head = store.head()
    if fits:
        assert store.append([write("a", expect=expect)], lock_wait=WAIT).version == at + 1
        return
    with pytest.raises(WrongExpectedVersion) as failure:
        append(store, write("a", expect=expect))
    assert failure.value.facts == {"stream": "a", "expected": "none" if expect == 0 else str(expect), "actual": at}
    assert store.head() == head


def test_one_stale_expectation_keeps_the_whole_commit_from_being_stored(store: EventStore) -> None:
    append(store, write("a"), write("b"))
    head = store.head()
    with pytest.raises(WrongExpectedVersion):
        append(store, write("a", expect=1), write("b", expect=2))
    assert store.head() == head
    assert versions(stored_lines(store, "a")) == [1]


@pytest.mark.parametrize("writes", [[], [Write("a", [])], [write("a"), write("a")]])
def test_a_commit_takes_each_stream_once_with_at_least_one_event(store: EventStore, writes: list[Write]) -> None:
    with pytest.raises(ValueError, match="each stream once"):
        store.append(writes, lock_wait=WAIT)


def test_a_name_that_is_none_is_refused(store: EventStore) -> None:
    with pytest.raises(Refused):
        append(store, write("../a"))
    append(store, write("a"))
    with pytest.raises(Refused):
        stored_lines(store, "/a")


def test_a_repeat_stores_nothing_and_tells_where_the_first_stands(store: EventStore) -> None:
    first = store.append([Write("a", [event({"n": 10.0}, id="k")])], lock_wait=WAIT)
    append(store, write("a"))
    head = store.head()
    again = store.append([Write("a", [event({"n": 10}, id="k")], 1)], lock_wait=WAIT)
    assert again == first._replace(count=0, repeated=1, writes=(first.writes[0]._replace(count=0),))
    assert store.head() == head


def test_an_id_is_its_streams_own(store: EventStore) -> None:
    append(store, Write("a", [event(id="k")]))
    assert append(store, Write("b", [event(2, id="k")])) == (2, 1, 0)


@pytest.mark.parametrize("other", [event(2, id="k"), event(True, id="k"), event("1", id="k"), event([1], id="k")])
def test_an_id_with_other_content_is_refused_before_expect_is_looked_at(store: EventStore, other: object) -> None:
    append(store, Write("a", [event(1, id="k")]))
    with pytest.raises(IdReused) as failure:
        append(store, Write("a", [event(), other._replace(id="k")], 7))  # type: ignore[attr-defined]  # a NewEvent
    assert failure.value.index == 1
    assert store.head().position == 1


def test_an_id_with_another_type_is_refused(store: EventStore) -> None:
    append(store, Write("a", [event(1, id="k")]))
    with pytest.raises(IdReused):
        append(store, Write("a", [event(1, id="k")._replace(type="other")]))


def test_repeats_within_one_input_are_stored_once(store: EventStore) -> None:
    assert append(store, Write("a", [event(1, id="k"), event(2), event(1, id="k")])) == (2, 2, 1)
    with pytest.raises(IdReused) as failure:
        append(store, Write("a", [event(3), event(1, id="n"), event(2, id="n")]))
    assert failure.value.index == 2


def test_new_events_among_repeats_are_stored(store: EventStore) -> None:
    append(store, Write("a", [event(1, id="k1")]))
    receipt = store.append([Write("a", [event(1, id="k1"), event(2, id="k2")]), write("b")], lock_wait=WAIT)
    assert (receipt.position, receipt.count, receipt.repeated) == (3, 2, 1)
    assert [json.loads(line).get("id") for line in all_lines(store)] == ["k1", "k2", None]


def test_an_id_may_stand_for_the_whole_commit(store: EventStore) -> None:
    first = store.append([Write("a", [event(1, id="k"), event(2)])], lock_wait=WAIT, once=True)
    given = [write("b"), Write("a", [event(1, id="k"), event(2)], 0)]
    assert store.append(given, lock_wait=WAIT, once=True).repeated == 1
    assert store.head().position == first.position
    with pytest.raises(IdReused):
        store.append([Write("a", [event(2, id="k")])], lock_wait=WAIT, once=True)


def test_a_write_of_repeats_only_leaves_a_commit_over_one_stream(store: EventStore) -> None:
    append(store, Write("a", [event(id="k")]))
    append(store, Write("a", [event(id="k")], 9), write("b"))
    assert "commit" not in json.loads(all_lines(store)[-1])


def test_the_index_of_what_is_refused_counts_repeats_too(store: EventStore) -> None:
    append(store, Write("a", [event(id="k")]))
    early = event(time="2001-01-01T00:00:00Z")
    with pytest.raises(Refused) as failure:
        append(store, write("b"), Write("a", [event(id="k"), event(), early]))
    assert failure.value.index == 3


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"after": 2}, [3, 4, 5, 6]),
        ({"to": 2}, [1, 2]),
        ({"after": 1, "to": 3}, [2, 3]),
        ({"after": 4, "to": 2}, []),
        ({"after": 6}, []),
        ({"after": 99}, []),
        ({"to": 0}, []),
        ({"to": 99}, [1, 2, 3, 4, 5, 6]),
        ({"end": 4}, [1, 2, 3]),
        ({"end": 4, "to": 5, "after": 2}, [3]),
    ],
)
def test_a_stream_is_read_from_after_a_version_to_one(
    store: EventStore, bounds: dict[str, int], found: list[int]
) -> None:
    for stream, count in (("a", 1), ("b", 1), ("a", 2), ("a", 3)):
        append(store, write(stream, *range(count)))
    assert versions(stored_lines(store, "a", **bounds)) == found


def test_a_chunk_tells_the_version_of_its_last_line(store: EventStore) -> None:
    for count in (1, 2, 3):
        append(store, write("a", *range(count)))
    for after, to in ((0, None), (2, None), (0, 4), (2, 5)):
        for chunk in store.read_stream("a", end=6, after=after, to=to):
            assert versions(chunk.lines)[-1] == chunk.version


def test_a_stream_that_is_not_there_has_no_lines(store: EventStore) -> None:
    append(store, write("a"))
    assert stored_lines(store, "b") == []
    assert store.info("b", end=1) is None
    assert store.version_at("b", "9999-01-01T00:00:00.000000Z", end=1) == 0


def test_a_bookmark_resumes_where_its_reader_stopped(store: EventStore) -> None:
    append(store, write("a", 1, 2))
    *_, chunk = store.read_stream("a", end=2)
    assert chunk.bookmark is not None
    assert chunk.bookmark.version == 2
    append(store, write("a", 3))
    assert versions(stored_lines(store, "a", bookmark=chunk.bookmark)) == [3]


def test_a_chunk_that_ends_within_a_commit_has_no_bookmark(store: EventStore) -> None:
    append(store, write("a", 1, 2))
    assert [chunk.bookmark for chunk in store.read_stream("a", end=2, to=1)] == [None]


def test_a_bookmark_of_another_history_is_lost(store: EventStore) -> None:
    append(store, write("a", 1, 2))
    *_, chunk = store.read_stream("a", end=2)
    other = MemoryStore() if isinstance(store, MemoryStore) else LocalStore(store.root + "2")  # type: ignore[attr-defined]  # local
    for stream in ("a", "b"):
        append(other, write(stream, 3, 4, 5))
    for stream in ("a", "b", "c"):
        with pytest.raises(BookmarkLost):
            stored_lines(other, stream, bookmark=chunk.bookmark)


def test_all_streams_are_read_in_global_order_by_commit(store: EventStore) -> None:
    append(store, write("b", 1), write("a", 2, 3))
    append(store, write("a", 4))
    commits = list(store.read_all(end=4))
    assert [[json.loads(line)["data"] for line in lines] for lines in commits] == [[1, 2, 3], [4]]
    assert [json.loads(line)["data"] for line in all_lines(store, after=2)] == [3, 4]
    assert [json.loads(line)["data"] for lines in store.read_all(end=3, after=1) for line in lines] == [2, 3]
    only_b = store.read_all(end=4, wanted=lambda stream: stream == "b")
    assert [json.loads(line)["data"] for lines in only_b for line in lines] == [1]


def test_what_is_appended_after_a_head_was_taken_is_not_read(store: EventStore) -> None:
    append(store, write("a", 1))
    end = store.head().position
    append(store, write("a", 2), write("b", 3))
    assert versions(stored_lines(store, "a", end=end)) == [1]
    assert len([line for lines in store.read_all(end=end) for line in lines]) == 1
    assert store.info("b", end=end) is None


def test_version_at_a_time_is_that_of_the_last_event_not_after_it(store: EventStore, clock: Clock) -> None:
    for time, count in (("08:00:00", 1), ("09:00:00", 2), ("10:00:00", 1)):
        clock(time)
        append(store, write("a", *range(count)))
    for time, version in (("07:59:59", 0), ("08:00:00", 1), ("08:30:00", 1), ("09:00:00", 3), ("11:00:00", 4)):
        assert store.version_at("a", f"2026-11-23T{time}.000000Z", end=4) == version
    assert store.version_at("a", "2026-11-23T11:00:00.000000Z", end=3) == 3


def test_streams_are_described_in_the_order_of_their_names(store: EventStore, clock: Clock) -> None:
    clock("08:00:00")
    append(store, write("b"), write("a/c"), write("evcli/x"))
    clock("09:00:00")
    append(store, write("b", 1))
    assert list(store.streams()) == ["a/c", "b", "evcli/x"]
    info = store.info("b", end=4)
    assert info is not None
    size = sum(len(line) + 1 for line in stored_lines(store, "b"))
    assert info == ("b", 2, "2026-11-23T08:00:00.000000Z", "2026-11-23T09:00:00.000000Z", size)


def test_a_plan_is_what_append_then_does_and_stores_nothing(store: EventStore, clock: Clock) -> None:
    clock("08:00:00")
    append(store, write("a", 1))
    head = store.head()
    writes = [write("a", 2, 3, expect=1), write("b", 4)]
    plan = store.plan(writes)
    assert store.head() == head
    assert list(store.streams()) == ["a"]
    assert store.append(writes, lock_wait=WAIT) == plan.receipt
    assert [*plan.lines["a"], *plan.lines["b"]] == all_lines(store, after=1)


def test_a_plan_builds_upon_another_and_knows_its_ids(store: EventStore, clock: Clock) -> None:
    clock("08:00:00")
    append(store, Write("a", [event(0, id="k0")]))
    parts = [
        [Write("a", [event(1, id="k1"), event(0, id="k0")])],
        [Write("a", [event(1, id="k1"), event(2, id="k2")], 2), Write("b", [event(id="k1")])],
        [Write("b", [event(id="k1")])],
    ]
    plans: list[Plan] = []
    for part in parts:
        plans.append(store.plan(part, plans[-1] if plans else None))
    assert [store.append(part, lock_wait=WAIT) for part in parts] == [plan.receipt for plan in plans]
    planned = [line for plan in plans for stream in sorted(plan.lines) for line in plan.lines[stream]]
    assert planned == all_lines(store, after=1)


def test_a_plan_is_refused_as_append_would_be(store: EventStore) -> None:
    append(store, Write("a", [event(1, id="k")]))
    with pytest.raises(WrongExpectedVersion):
        store.plan([write("a", expect=0)])
    with pytest.raises(IdReused):
        store.plan([Write("a", [event(2, id="k")])])
    first = store.plan([Write("a", [event(1, id="n")])])
    with pytest.raises(IdReused):
        store.plan([Write("a", [event(2, id="n")])], first)


def test_there_is_more_once_something_is_appended_after_a_head(store: EventStore) -> None:
    append(store, write("a"))
    head = store.head()
    assert not store.has_more(head)
    append(store, write("a"))
    assert store.has_more(head)
    assert not store.has_more(store.head())


def test_times_never_go_back_when_the_clock_does(store: EventStore, clock: Clock) -> None:
    for time in ("09:00:00", "08:00:00", "10:00:00"):
        clock(time)
        append(store, write("a"))
    times = [json.loads(line)["time"] for line in all_lines(store)]
    assert [time[11:19] for time in times] == ["09:00:00", "09:00:00", "10:00:00"]


def test_events_of_the_past_say_when_they_were_recorded(store: EventStore, clock: Clock) -> None:
    clock("09:00:00")
    append(store, Write("a", [event(time="2025-01-01T00:00:00Z"), event(time="2026-11-23T10:00:00+01:00"), event()]))
    events = [json.loads(line) for line in all_lines(store)]
    assert [found["time"][:19] for found in events] == [
        "2025-01-01T00:00:00",
        "2026-11-23T09:00:00",
        "2026-11-23T09:00:00",
    ]
    assert [found.get("recorded") for found in events] == ["2026-11-23T09:00:00.000000Z", None, None]


@pytest.mark.parametrize(
    ("time", "reason"), [("2026-11-23T07:59:59Z", "is before"), ("2026-11-23T09:00:00.000001Z", "future")]
)
def test_a_backward_or_future_time_is_refused_with_its_place(
    store: EventStore, clock: Clock, time: str, reason: str
) -> None:
    clock("08:00:00")
    append(store, write("a"))
    clock("09:00:00")
    with pytest.raises(Refused, match=reason) as failure:
        append(store, write("b", 1, 2), Write("a", [event(), event(time=time)]))
    assert failure.value.index == 3
    assert list(store.streams()) == ["a"]


def test_a_line_of_a_mebibyte_is_stored_and_a_longer_one_refused(store: EventStore) -> None:
    append(store, write("a", "x" * ((1 << 20) - 512)))
    assert len(stored_lines(store, "a")[0]) > (1 << 20) - 512
    with pytest.raises(Refused, match="1 MiB") as failure:
        append(store, write("a", 1, "x" * (1 << 20)))
    assert failure.value.index == 1
    assert store.head().position == 1


def test_a_commit_of_over_64_mebibytes_is_refused(store: EventStore) -> None:
    large = event("x" * 1_000_000)
    with pytest.raises(Refused, match="64 MiB"):
        append(store, Write("a", [large] * 40), Write("b", [large] * 30))
    append(store, Write("a", [large] * 40))
    assert store.verify().events == 40


def test_verify_counts_what_there_is(store: EventStore) -> None:
    append(store, write("a", 1), write("b", 2, 3))
    append(store, write("a", 4))
    report = store.verify()
    assert (report.streams, report.events, report.commits, report.in_progress) == (2, 4, 2, False)
    assert report.head == store.head()


def test_what_looks_like_a_seal_in_the_data_is_none(store: EventStore) -> None:
    inner = event({"x": 1, "seal": "a"}, id="i" * (64 - len('a"},"id":"')))
    append(store, Write("a", [inner, inner._replace(id=None), event()]))
    append(store, Write("a", [event({"seal": "0" * 64})]))
    assert versions(stored_lines(store, "a")) == [1, 2, 3, 4]
    assert store.verify().events == 4


def test_the_empty_store_has_a_head_at_zero(store: EventStore) -> None:
    if isinstance(store, MemoryStore):
        assert store.head()[:3] == (0, "0" * 64, "")
        assert all_lines(store) == []
    else:
        with pytest.raises(WrongExpectedVersion):
            append(store, write("a", expect="exists"))
        assert not Path(store.root).exists()  # type: ignore[attr-defined]  # a LocalStore


def test_line_ends_of_unicode_in_data_end_no_line(store: EventStore) -> None:
    text = "one\u2028two\u2029three\u0085four"
    store.append([write("a", text, text), write("b", text)], lock_wait=1.0)
    assert [json.loads(line)["data"] for line in stored_lines(store, "a")] == [text, text]
    assert len(all_lines(store)) == 3
    store.verify()


def test_a_store_holds_the_ends_of_its_own_commits_and_no_others(store: EventStore) -> None:
    store.append([write("a", 1, 2)], lock_wait=WAIT)
    first = store.head()
    store.append([write("b", 3)], lock_wait=WAIT)
    last = store.head()
    assert store.holds(first.position, first.hash)
    assert store.holds(last.position, last.hash)
    assert store.holds(0, "0" * 64)
    assert not store.holds(first.position, last.hash)
    assert not store.holds(1, first.hash)
    assert not store.holds(4, last.hash)


def test_what_was_acknowledged_is_settled(store: EventStore) -> None:
    store.append([write("a", 1)], lock_wait=WAIT)
    store.append([write("a", 2)], lock_wait=WAIT)
    assert store.settled_head() == store.head()


def test_an_event_is_found_by_its_id(store: EventStore) -> None:
    store.append([Write("a", [event(1, id="k-1"), event(2, id="k-2")])], lock_wait=WAIT)
    found = store.find_id("a", "k-2")
    assert found is not None
    assert json.loads(found)["version"] == 2
    assert store.find_id("a", "k-3") is None
    assert store.find_id("b", "k-1") is None


def test_streams_below_a_first_part_are_listed_alone(store: EventStore) -> None:
    store.append([write("a/b/c"), write("a/b"), write("a/bc"), write("b")], lock_wait=WAIT)
    assert list(store.streams(below="a/b")) == ["a/b/c"]
    assert list(store.streams(below="a")) == ["a/b", "a/b/c", "a/bc"]
    assert list(store.streams(below="c")) == []


def test_each_event_may_expect_the_version_right_before_it(store: EventStore) -> None:
    store.append([write("a")], lock_wait=WAIT)
    expecting = [event(n, expect=n) for n in (1, 2, 3)]
    assert append(store, Write("a", expecting), write("b"))[1] == 4
    with pytest.raises(WrongExpectedVersion) as found:
        store.append([write("c"), Write("a", [event(0), event(0, expect=4)])], lock_wait=WAIT)
    assert (found.value.stream, found.value.actual, found.value.index) == ("a", 5, 2)
    with pytest.raises(WrongExpectedVersion):
        store.append([write("c"), Write("d", [event(0, expect="exists")])], lock_wait=WAIT)
    assert list(store.streams()) == ["a", "b"]


def test_a_repeated_event_is_left_out_before_the_others_are_expected(store: EventStore) -> None:
    first, second = event(1, id="k-1", expect=0), event(2, id="k-2", expect=1)
    store.append([Write("a", [first])], lock_wait=WAIT)
    assert append(store, Write("a", [first, second])) == (2, 1, 1)


EMAIL = {"/data/email": "a@x"}


def test_nothing_is_stored_where_an_event_is_that_must_not_be(store: EventStore) -> None:
    store.append([write("users/1", {"email": "a@x"})], lock_wait=WAIT)
    before = all_lines(store)
    for condition in (
        make_condition("users/*", "tested", EMAIL),
        make_condition("users/1", "test*", EMAIL),
        make_condition("**", "*"),
    ):
        with pytest.raises(ConditionNotMet) as found:
            store.append([write("users/2", {"email": "a@x"})], lock_wait=WAIT, unless=[condition])
        assert (found.value.facts["stream"], found.value.facts["position"]) == ("users/1", 1)
        with pytest.raises(ConditionNotMet):
            store.plan([write("users/2")], unless=[condition])
    assert all_lines(store) == before


def test_other_streams_types_values_and_earlier_events_do_not_count(store: EventStore) -> None:
    store.append([write("users/1", {"email": "a@x"}), write("users/old/1", {"email": "b@x"})], lock_wait=WAIT)
    for condition in (
        make_condition("users/2", "tested"),
        make_condition("user/*", "tested"),
        make_condition("users/*", "tried", EMAIL),
        make_condition("users/*", "tested", {"/data/email": "b@x"}),
        make_condition("users/**", "tested", after=2),
        make_condition("users/1", "tested", after=1),
    ):
        assert append_unless(store, condition, "other") == 1
    with pytest.raises(ConditionNotMet):
        append_unless(store, make_condition("users/**", "tested", after=1), "other")


def test_a_repeat_meets_no_condition(store: EventStore) -> None:
    once = make_condition("users/*", "tested", EMAIL)
    for count in (1, 0):
        written = Write("users/1", [event({"email": "a@x"}, id="k-1")])
        assert store.append([written], lock_wait=WAIT, unless=[once]).count == count


def test_a_place_beyond_the_end_is_refused(store: EventStore) -> None:
    store.append([write("a")], lock_wait=WAIT)
    with pytest.raises(Usage, match="ends at 1"):
        append_unless(store, make_condition("a", "b", after=2), "a")


def append_unless(store: EventStore, condition: Condition, stream: str) -> int:
    return store.append([write(stream)], lock_wait=WAIT, unless=[condition]).count
