import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evcli import Store
from evcli.domain.events import Event
from evcli.errors import Busy, Damaged, Refused, Usage
from evcli.read_side.subscriptions import Feed, begin, place
from evcli.storage.local import LocalStore
from evcli.storage.subscription_files import Progress
from tests.storage.building import mark_of_before, write


def record(store: Store, stream: str, *types: str) -> None:
    store.append(stream, [(type_, {}) for type_ in types])


@pytest.fixture
def store() -> Store:
    """Two streams, three commits."""
    store = Store.open()
    record(store, "a/x", "t", "u.v")
    record(store, "a/y", "t")
    record(store, "b", "t")
    return store


def positions(events: Iterator[Event]) -> list[int]:
    return [event["position"] for event in events]


def handle(store: Store, name: str, *patterns: str, start: str | None = None) -> list[int]:
    return positions(store.subscribe(name, *patterns, start=start, follow=False))


def at_work(store: Store, name: str = "n") -> Feed:
    files = store.subscription(name)
    with files.lock():
        return Feed(store.log, ["**"], (), name=name, progress=begin(store.log, files, "first"))


@contextmanager
def somebody_writing(root: Path) -> Iterator[None]:
    with open(root / "lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_without_follow_it_ends_and_goes_on_there(store: Store) -> None:
    assert handle(store, "n", start="first") == [1, 2, 3, 4]
    assert handle(store, "n") == []
    record(store, "b", "t")
    assert handle(store, "n", start="first") == [5]


def test_patterns_and_types_select(store: Store) -> None:
    assert handle(store, "p", "a/*", start="first") == [1, 2, 3]
    assert handle(store, "one", "b", start="first") == [4]
    assert positions(store.subscribe("t", types=["u.*"], start="first", follow=False)) == [2]


def test_evclis_own_streams_come_only_where_they_are_named(store: Store) -> None:
    root = Path(os.environ["EVCLI_STORE"])
    LocalStore(str(root)).append([write("evcli/gaps", {})])
    assert handle(store, "all", start="first") == [1, 2, 3, 4]
    assert handle(store, "own", "evcli/**", start="first") == [5]


def test_now_leaves_out_what_was_there(store: Store) -> None:
    assert handle(store, "n", start="now") == []
    record(store, "b", "t")
    assert handle(store, "n") == [5]


def test_a_new_name_must_say_where_it_begins_and_nothing_is_made(store: Store) -> None:
    with pytest.raises(Usage, match="--start first"):
        handle(store, "n")
    with pytest.raises(Usage, match="neither first nor now"):
        handle(store, "n", start="3")
    with pytest.raises(Refused):
        handle(store, "n", "a b", start="first")
    assert not Path(os.environ["EVCLI_STATE"]).exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../n", "a/b", "-n", "n\n", "x" * 65])
def test_what_could_leave_the_directory_is_no_name(store: Store, name: str) -> None:
    with pytest.raises(Refused, match="cannot be a subscription's name"):
        store.subscription(name)


def test_an_event_is_handled_when_the_next_is_asked_for(store: Store) -> None:
    events = store.subscribe("n", start="first")
    assert [next(events)["position"] for _ in range(3)] == [1, 2, 3]
    assert store.subscription("n").progress().position == 2
    events.close()  # type: ignore[attr-defined]  # a generator
    assert handle(store, "n") == [3, 4]


def test_an_exception_in_the_loop_repeats_the_current_one(store: Store) -> None:
    def fail_at_second() -> None:
        for event in store.subscribe("n", start="first"):
            if event["position"] == 2:
                raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail_at_second()
    assert handle(store, "n") == [2, 3, 4]


def test_two_cannot_have_a_name_at_a_time(store: Store) -> None:
    first = store.subscribe("n", start="first")
    next(first)
    with pytest.raises(Busy, match="another run of subscription n"):
        handle(store, "n")
    assert handle(store, "other", start="first") == [1, 2, 3, 4]
    first.close()  # type: ignore[attr-defined]  # a generator


def test_it_follows_what_comes(store: Store) -> None:
    events = store.subscribe("n", start="now")
    store.subscription("n")
    with store.subscription("n").lock():
        begin(store.log, store.subscription("n"), "now")
    record(store, "b", "later")
    assert next(events)["type"] == "later"
    record(store, "b", "still.later")
    assert next(events)["type"] == "still.later"
    events.close()  # type: ignore[attr-defined]  # a generator


def test_what_was_handled_out_of_turn_is_not_handed_out_again(store: Store) -> None:
    files = store.subscription("n")
    head = store.head()
    with files.lock():
        files.start(Progress(1, (3,), head.position, head.hash))
    assert handle(store, "n") == [2, 4]


def test_the_last_commit_waits_while_its_writer_may_still_fail(store: Store) -> None:
    root = Path(os.environ["EVCLI_STORE"])
    with mark_of_before(root):
        record(store, "b", "in.doubt")
    with somebody_writing(root):
        assert place(store.log, "now").position == 4
        feed = at_work(store)
        assert [item.position for item in feed.items()] == [1, 2, 3, 4]
        assert feed.has_more()
        assert list(feed.items()) == []
    assert [item.event["type"] for item in feed.items()] == ["in.doubt"]
    assert not feed.has_more()


def test_a_commit_that_is_handled_already_is_waited_for_while_it_is_settled(store: Store) -> None:
    root = Path(os.environ["EVCLI_STORE"])
    with mark_of_before(root):
        record(store, "b", "in.doubt")
    feed = at_work(store)
    assert len(list(feed.items())) == 5
    with somebody_writing(root):
        assert list(feed.items()) == []
    assert feed.position == 5


@pytest.mark.parametrize("more", [0, 3])
def test_another_history_is_told_of_and_nothing_is_handed_out(store: Store, tmp_path: Path, more: int) -> None:
    root = Path(os.environ["EVCLI_STORE"])
    shutil.copytree(root, tmp_path / "backup")
    record(store, "b", "lost")
    assert len(handle(store, "n", start="first")) == 5
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "backup", root)
    for _ in range(more):
        record(Store.open(), "b", "other")
    with pytest.raises(Damaged, match=r"subscription n has handled.*evcli on --reset n"):
        handle(Store.open(), "n")


def test_a_history_that_is_replaced_meanwhile_is_told_of(store: Store, tmp_path: Path) -> None:
    root = Path(os.environ["EVCLI_STORE"])
    shutil.copytree(root, tmp_path / "backup")
    record(store, "b", "lost")
    feed = at_work(store)
    assert len(list(feed.items())) == 5
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "backup", root)
    with pytest.raises(Damaged):
        list(feed.items())


@pytest.mark.parametrize("text", ["5", "-1", "", "one", "٣", "9" * 5000])
def test_a_place_beyond_the_end_or_no_place_at_all_is_refused(store: Store, text: str) -> None:
    with pytest.raises(Usage, match="is no place in this store"):
        place(store.log, text)


def test_without_a_state_directory_there_are_no_subscriptions(store: Store) -> None:
    with pytest.raises(Usage, match="EVCLI_STATE"):
        Store(store.log).subscription("n")
