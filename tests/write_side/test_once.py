"""A command takes effect once, whoever else handles it, or another of its id, at the same time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.commands import Command
from evcli.domain.events import Write
from evcli.domain.queue import ACCEPTED, QUEUE, REJECTED
from evcli.domain.values import Json
from evcli.errors import CodeFailed, IdReused, Rejected
from evcli.storage.codec import new_event
from evcli.storage.contract import EventStore
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from evcli.write_side.executing import execute
from evcli.write_side.queue import status_of
from tests.write_side.deciding import by, put, request, told, worker


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, store_path: Path) -> EventStore:
    if request.param == "memory":
        return MemoryStore()
    local = LocalStore(str(store_path))
    local.create()
    return local


def send(command: Command, _state: Json) -> Any:
    """Decide on events for another stream only."""
    return [(command.data["to"], "sent", {"from": command.data["from"]})]


def test_a_repeat_stores_nothing_where_all_went_to_other_streams(store: EventStore) -> None:
    asked = request("a", "send", {"to": "x", "from": "a"}, id="k")
    first = execute(store, asked, by(store, send))
    assert first.events == [{"stream": "x", "version": 1, "type": "sent", "data": {"from": "a"}}]
    again = execute(store, asked, by(store, lambda _command, _state: [("y", "sent", {})]))
    assert again.as_json() == first.as_json()
    assert told(store, "x") == [("sent", {"from": "a"})]
    assert told(store, "y") == []
    with pytest.raises(IdReused):
        execute(store, request("a", "send", {"to": "y", "from": "a"}, id="k"), by(store, send))


def test_commands_to_two_streams_with_one_id_do_not_meet_in_a_third(store: EventStore) -> None:
    def pay(_command: Command, _state: Json) -> Any:
        return [("paid", {}), ("shop", "received", {"amount": 5})]

    for stream in ("a", "b"):
        execute(store, request(stream, "pay", id="order-77"), by(store, pay))
    assert told(store, "shop") == [("received", {"amount": 5})] * 2


@pytest.mark.parametrize("name", ["refuses", "fails", "decides otherwise"])
def test_what_a_rival_does_under_the_same_id_is_what_the_command_did(store: EventStore, name: str) -> None:
    asked = request("a", "take", id="k")
    ways: dict[str, Callable[[], Any]] = {
        "refuses": lambda: _raise(Rejected("taken")),
        "fails": lambda: _raise(CodeFailed("broken")),
        "decides otherwise": lambda: [("taken", {"by": "second"}), ("b", "told", {})],
    }

    def first(_command: Command, _state: Json) -> Any:
        return [("taken", {"by": "first"}), ("b", "told", {})]

    deciding = by(store, lambda _command, _state: ways[name]())
    state_by = deciding.state_by

    def late(stream: str, definition: Any) -> Any:
        if not told(store, "a"):
            execute(store, asked, by(store, first))
        return state_by(stream, definition)

    execute(store, asked, deciding._replace(state_by=late))
    assert (told(store, "a"), told(store, "b")) == ([("taken", {"by": "first"})], [("told", {})])


def test_a_rival_under_the_same_id_while_it_is_decided_is_the_first(store: EventStore) -> None:
    asked = request("a", "take", id="k")

    def rival(_command: Command, _state: Json) -> Any:
        return [("taken", {"by": "rival"})]

    def slow(_command: Command, _state: Json) -> Any:
        execute(store, asked, by(store, rival))
        return [("taken", {"by": "slow"}), ("b", "told", {})]

    assert execute(store, asked, by(store, slow)).events[0]["data"] == {"by": "rival"}
    assert told(store, "b") == []


def test_a_worker_that_comes_late_does_not_accept_again_what_went_to_other_streams(store: EventStore) -> None:
    put(store, "a", "send", {"to": "x", "from": "a"}, id="k")

    def late(_command: Command, _state: Json) -> Any:
        if not told(store, "x"):
            other, _ = worker(store, send)
            other.look()
        return [("y", "sent", {}), ("z", "sent", {})]

    slow, reported = worker(store, late)
    assert slow.look()
    assert (told(store, "x"), told(store, "y")) == ([("sent", {"from": "a"})], [])
    assert status_of(store, "k").receipt is not None
    assert [kind for kind, _ in told(store, QUEUE)].count(ACCEPTED) == 1
    assert isinstance(reported["k"], tuple)


def test_what_was_accepted_without_an_event_is_not_accepted_again_with_one(store: EventStore) -> None:
    put(store, "a", "close", id="k")
    rounds: list[int] = []

    def late(_command: Command, _state: Json) -> Any:
        rounds.append(1)
        if len(rounds) == 1:
            other, _ = worker(store, lambda _command, _state: [])
            other.look()
        return [("closed", {})]

    slow, _ = worker(store, late)
    assert slow.look()
    assert told(store, "a") == []
    assert status_of(store, "k").status == "accepted"


def test_a_worker_does_not_refuse_what_was_done_under_the_id_meanwhile(store: EventStore) -> None:
    put(store, "a", "take", id="k")

    def take(_command: Command, _state: Json) -> Any:
        return [("taken", {"n": 1})]

    def refuse(_command: Command, _state: Json) -> Any:
        execute(store, request("a", "take", id="k"), by(store, take))
        raise Rejected("nothing there")

    slow, reported = worker(store, refuse)
    assert slow.look()
    assert [kind for kind, _ in told(store, QUEUE)].count(REJECTED) == 0
    status = status_of(store, "k")
    assert (status.status, told(store, "a")) == ("accepted", [("taken", {"n": 1})])
    assert status.receipt is not None
    assert status.receipt["events"] == [{"stream": "a", "version": 1, "type": "taken", "data": {"n": 1}}]
    assert isinstance(reported["k"], tuple)


def test_nothing_to_store_is_accepted_only_in_the_state_in_which_it_was_decided(store: EventStore) -> None:
    put(store, "a", "close", id="k")

    def close(_command: Command, state: Json) -> Any:
        if not state:
            store.append([Write("a", [new_event({"type": "opened"})])], lock_wait=10.0)
            return []
        return [("closed", {})]

    slow, _ = worker(store, close)
    assert slow.look()
    assert [kind for kind, _ in told(store, "a")] == ["opened", "closed"]


def test_a_command_in_the_meta_of_a_decider_s_own_is_refused(store: EventStore) -> None:
    def own(_command: Command, _state: Json) -> Any:
        return [{"type": "taken", "meta": {"command": "take"}}]

    with pytest.raises(CodeFailed, match="'command' in its meta"):
        execute(store, request("a", "take", id="k"), by(store, own))


def test_only_the_first_event_has_the_id(store: EventStore) -> None:
    execute(
        store, request("a", "take", id="k"), by(store, lambda _command, _state: [("t", {}), ("t", {}), ("b", "t", {})])
    )
    lines = [json.loads(line) for lines in store.read_all(end=store.head().position) for line in lines]
    assert [line.get("id") for line in lines] == ["k", None, None]
    assert [sorted(line["meta"]) for line in lines] == [["command", "correlation"], ["correlation"], ["correlation"]]


def _raise(error: Exception) -> None:
    raise error
