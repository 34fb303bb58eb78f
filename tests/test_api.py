from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evcli import Store
from evcli.errors import (
    BadConfig,
    BadTime,
    Busy,
    IdReused,
    NotTrusted,
    Refused,
    StoreNotFound,
    Usage,
    WrongExpectedVersion,
)


@pytest.fixture
def store() -> Store:
    return Store.open()


def test_a_few_lines_are_enough(store: Store) -> None:
    receipt = store.append("accounts/ann", [("opened", {}), ("money.deposited", {"amount": 10})])
    assert (receipt.version, receipt.position, receipt.count) == (2, 2, 2)
    assert [event["type"] for event in store.read("accounts/ann")] == ["opened", "money.deposited"]
    assert store.state("accounts/ann") == {"amount": 10}
    assert store.state("accounts/ann", reducer="count", to=1) == 1


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "none")
    assert not store.exists
    assert store.location == str(tmp_path / "none")
    with pytest.raises(StoreNotFound):
        store.head()
    with pytest.raises(StoreNotFound):
        list(store.read("s"))
    assert not (tmp_path / "none").exists()


def test_create_makes_a_store_once(store: Store) -> None:
    identity = store.create()
    assert store.exists
    assert store.create() == identity


def test_events_are_given_as_pairs_or_mappings(store: Store) -> None:
    store.append(
        "s",
        [
            ("a", [1]),
            {"type": "b"},
            {"type": "c", "data": None, "meta": {"actor": "ann"}, "id": "k", "v": 2, "time": None},
        ],
    )
    a, b, c = store.read("s")
    assert (a["data"], b["data"], c["data"]) == ([1], {}, None)
    assert (c["meta"], c["id"], c["v"]) == ({"actor": "ann"}, "k", 2)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [("", {})],
        [("t", {1, 2})],
        [("t", float("nan"))],
        [("t", 2**64)],
        [("t", "\ud800")],
        [{"data": {}}],
        [{"type": "t", "wrong": 1}],
        [{"type": "t", "time": "yesterday"}],
        [("good", {}), ("t", object())],
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_made(store: Store, events: list[Any]) -> None:
    with pytest.raises(Refused):
        store.append("s", events)
    assert not store.exists


def test_an_expected_version_that_is_not_so_is_a_conflict(store: Store) -> None:
    store.append("s", [("t", {})], expect="none")
    for expect in (0, "none", 2):
        with pytest.raises(WrongExpectedVersion) as raised:
            store.append("s", [("t", {})], expect=expect)
        assert raised.value.actual == 1
    store.append("s", [("t", {})], expect=1)
    store.append("s", [("t", {})], expect="exists")
    with pytest.raises(Usage):
        store.append("s", [("t", {})], expect="soon")
    assert store.version("s") == 3


def test_an_id_makes_a_repeat_of_several_events_safe(store: Store) -> None:
    events: list[tuple[str, Any]] = [("a", {}), ("b", {})]
    store.append("s", events, id="k")
    again = store.append("s", events, id="k", expect="none")
    assert (again.count, again.repeated, again.version) == (0, 2, 2)
    with pytest.raises(IdReused):
        store.append("s", [("a", {"other": 1})], id="k")


def test_several_streams_are_one_commit(store: Store) -> None:
    receipt = store.append_many({"a": [("t", {})], "b": [("t", {}), ("t", {})]}, expect={"a": "none"})
    assert [write[:3] for write in receipt.writes] == [("a", 1, 1), ("b", 2, 2)]
    with pytest.raises(WrongExpectedVersion):
        store.append_many({"a": [("t", {})], "b": [("t", {})]}, expect={"b": 9})
    assert (store.version("a"), store.version("b")) == (1, 2)
    assert [event["position"] for event in store.read_all(after_position=1)] == [2, 3]
    with pytest.raises(Refused):
        store.append_many({})


def test_a_plan_builds_upon_a_plan_and_stores_nothing(store: Store) -> None:
    first = store.plan({"s": [("t", {"a": 1})]}, expect={"s": 0})
    second = store.plan({"s": [("t", {"b": 2})]}, expect={"s": 1}, after=first)
    states = store.states_after(first, {})
    states |= store.states_after(second, states)
    assert (states["s"].version, states["s"].state) == (2, {"a": 1, "b": 2})
    assert not store.exists


def test_reading_takes_versions_and_times(store: Store) -> None:
    for n in range(1, 6):
        store.append("s", [{"type": "t", "data": n, "time": f"2026-01-0{n}T00:00:00Z"}])
    assert [event["data"] for event in store.read("s", after=3)] == [4, 5]
    assert [event["data"] for event in store.read("s", until="2026-01-02")] == [1, 2]
    moment = datetime(2026, 1, 3, tzinfo=UTC)
    assert [event["data"] for event in store.read("s", after=1, until=moment)] == [2, 3]
    assert store.state("s", reducer="last", until=moment) == 3
    assert store.state("s", reducer="last", until=moment, to=2) == 2
    assert list(store.read("none")) == []
    assert [found.state for found in store.replay_all(reducer="count", until=moment)] == [3]


def test_a_naive_datetime_is_no_moment(store: Store) -> None:
    store.append("s", [("t", {})])
    with pytest.raises(BadTime, match="without a zone"):
        store.state("s", until=datetime(2026, 1, 3))  # noqa: DTZ001 (what is tested)
    for text in ("2026-13-45T99:00:00.000001Z", "soon", ""):
        with pytest.raises(BadTime):
            store.state("s", until=text)


def test_streams_and_versions(store: Store) -> None:
    store.append_many({"a/x": [("t", {})], "a/y": [("t", {})], "z": [("t", {})]})
    assert [info.stream for info in store.streams("a/")] == ["a/x", "a/y"]
    assert [info.version for info in store.streams()] == [1, 1, 1]
    assert store.version("none") == 0


def test_waiting_for_a_position_ends_in_time(store: Store) -> None:
    store.append("s", [("t", {})])
    store.wait_for(1, timeout=0)
    with pytest.raises(Busy, match="position 2"):
        store.wait_for(2, timeout=0.05)


def test_a_config_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        Store.open(config=str(tmp_path / "none.toml"))


def test_code_of_a_config_needs_trust(store: Store, store_path: Path) -> None:
    store.append("s", [("t", {})])
    (store_path / "r.py").write_text("initial = 0\ndef evolve(s, e): return s + 1\n")
    (store_path / "evcli.toml").write_text('[streams."*"]\nreducer = "r.py"\n')
    with pytest.raises(NotTrusted):
        store.state("s")
    assert store.state("s", reducer=str(store_path / "r.py")) == 1


def test_verify_reports_what_it_went_through(store: Store) -> None:
    store.append("s", [("t", {}), ("t", {})])
    report = store.verify()
    assert (report.streams, report.events, report.commits) == (1, 2, 1)


def test_an_expectation_of_a_stream_that_is_not_written_is_a_mistake(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "own")
    with pytest.raises(Usage, match="expect names b"):
        store.append_many({"a": [("t", {})]}, expect={"b": 7})
    assert not store.exists
