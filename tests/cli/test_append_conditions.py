"""``append`` on conditions (--unless), with causes, and lines that each expect a version."""

import json
from pathlib import Path

from tests.cli.driving import Evcli, lines_of, tree_hash

UNIQUE = ["--unless", "users/* user.registered /data/email=ann@example.org"]


def register(evcli: Evcli, number: int, email: str = "ann@example.org") -> None:
    evcli.ok("append", f"users/{number}", "user.registered", f"email={email}", *UNIQUE)


def test_an_email_address_can_be_claimed_once(evcli: Evcli, store_path: Path) -> None:
    register(evcli, 1)
    before = tree_hash(store_path)
    said = evcli.fails(3, "append", "users/2", "user.registered", "email=ann@example.org", *UNIQUE)
    assert "users/1@1 (position 1) must not be there" in said
    assert tree_hash(store_path) == before


def test_dry_run_meets_the_condition_too(evcli: Evcli) -> None:
    register(evcli, 1)
    evcli.fails(3, "append", "users/2", "x", *UNIQUE, "--dry-run")


def test_only_what_came_after_a_position_counts(evcli: Evcli) -> None:
    register(evcli, 1)
    evcli.ok("append", "users/2", "x", *UNIQUE, "--after-position", "1")
    evcli.fails(2, "append", "users/2", "x", *UNIQUE, "--after-position", "9")
    evcli.fails(2, "append", "users/2", "x", "--after-position", "1")


def test_a_refused_first_append_leaves_no_store(evcli: Evcli, store_path: Path) -> None:
    evcli.fails(2, "append", "users/2", "x", "--unless", "users/*")
    evcli.fails(2, "append", "users/2", "x", "--unless", "users/* 'x")
    assert not store_path.exists()


def test_lines_have_a_condition_as_one_commit(evcli: Evcli, store_path: Path) -> None:
    lines = lines_of(*({"stream": f"users/{n}", "type": "x"} for n in (2, 3)))
    register(evcli, 1)
    before = tree_hash(store_path)
    evcli.fails(3, "append", "--from", "-", "--atomic", *UNIQUE, stdin=lines)
    evcli.fails(2, "append", "--from", "-", *UNIQUE, stdin=lines)
    assert tree_hash(store_path) == before


def test_each_line_of_an_atomic_input_may_expect_a_version(evcli: Evcli, store_path: Path) -> None:
    def lines(expect: object) -> bytes:
        return lines_of(
            {"stream": "a", "type": "sent", "expect": "none"},
            {"stream": "b", "type": "received", "expect": 0},
            {"stream": "a", "type": "settled", "expect": expect},
        )

    said = evcli.fails(3, "append", "--from", "-", "--atomic", stdin=lines(2))
    assert said.startswith("evcli: line 3: a is at version 1, expected 2")
    assert not store_path.exists()
    assert evcli.ok("append", "--from", "-", "--atomic", stdin=lines(1)).json["count"] == 3
    assert "line 1: expect is -1" in evcli.fails(
        65, "append", "--from", "-", stdin=lines_of({"type": "x", "stream": "a", "expect": -1})
    )


def test_a_cause_hands_on_its_correlation(evcli: Evcli) -> None:
    evcli.ok("append", "orders/1", "order.placed", "--correlation", "o-1")
    evcli.ok("append", "parcels/1", "parcel.packed", "--cause", "orders/1@1")
    evcli.ok("append", "parcels/1", "parcel.sent", "--cause", "parcels/1@1", "--correlation", "other")
    metas = [json.loads(line)["meta"] for line in evcli.ok("log", "parcels/1").out.splitlines()]
    assert metas == [
        {"cause": "orders/1@1", "correlation": "o-1"},
        {"cause": "parcels/1@1", "correlation": "other"},
    ]


def test_a_cause_must_be_there(evcli: Evcli) -> None:
    evcli.ok("append", "orders/1", "order.placed")
    assert "orders/1 is at version 1" in evcli.fails(4, "append", "a", "x", "--cause", "orders/1@2")
    evcli.fails(4, "append", "a", "x", "--cause", "orders/2@1")
    evcli.fails(2, "append", "a", "x", "--cause", "orders/1")
