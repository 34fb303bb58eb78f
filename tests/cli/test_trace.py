"""``trace``: trees of causes and effects, as people and programs get them."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.driving import SCRIPT, Evcli, tree_hash

SAMPLES = Path(__file__).parent.parent.parent / "sample_logs"
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def table(evcli: Evcli, what: str) -> str:
    """Return what a person sees, the times masked."""
    return _TIME.sub("TIME", evcli.ok("trace", what, "-o", "table").out.decode())


@pytest.fixture
def order(evcli: Evcli) -> Evcli:
    """Record an order that leads to a payment, whose receipt is of another conversation, and to a parcel."""
    evcli.ok("append", "orders/1", "order.placed", "total:=5.00", "--correlation", "o-1", "--actor", "ann")
    evcli.ok("append", "payments/7", "payment.made", "amount:=5.00", "--cause", "orders/1@1")
    evcli.ok("append", "orders/2", "order.placed", "total:=9")
    evcli.ok("append", "parcels/1", "parcel.packed", "--cause", "orders/1@1")
    evcli.ok("append", "payments/7", "receipt.sent", "--cause", "payments/7@1", "--correlation", "o-2")
    return evcli


def test_an_event_stands_in_the_tree_of_what_led_to_it_and_what_came_of_it(order: Evcli) -> None:
    assert table(order, "payments/7@1") == (
        '  orders/1@1            TIME  order.placed   {"total":5.00}  actor=ann\n'
        '* ├── payments/7@1      TIME  payment.made   {"amount":5.00}\n'
        "  │   └── payments/7@2  TIME  receipt.sent   {}\n"
        "  └── parcels/1@1       TIME  parcel.packed  {}\n"
    )


def test_a_correlation_gives_the_trees_of_one_conversation(order: Evcli) -> None:
    assert table(order, "o-1") == (
        'orders/1@1        TIME  order.placed   {"total":5.00}  actor=ann\n'
        '├── payments/7@1  TIME  payment.made   {"amount":5.00}\n'
        "└── parcels/1@1   TIME  parcel.packed  {}\n"
    )
    assert table(order, "o-2") == "payments/7@2  TIME  receipt.sent  (cause payments/7@1 is not part of it)  {}\n"


def test_json_is_an_array_of_roots_each_with_what_came_of_it(order: Evcli) -> None:
    events = {f"{event['stream']}@{event['version']}": event for event in order.ok("log").lines}
    payment, parcel = ({"event": events[place], "children": []} for place in ("payments/7@1", "parcels/1@1"))
    root = {"event": events["orders/1@1"], "children": [payment, parcel]}
    assert order.ok("trace", "o-1", "-o", "json").json == [root]
    outside = {"event": events["payments/7@2"], "cause": "outside", "children": []}
    assert order.ok("trace", "o-2", "-o", "json").json == [outside]
    assert b'"total":5.00' in order.ok("trace", "o-1", "-o", "json").out


def test_a_pipe_gets_a_line_for_each_event_with_its_depth(order: Evcli) -> None:
    stored = {json.loads(line)["position"]: line for line in order.ok("log").out.splitlines()}
    assert order.ok("trace", "payments/7@1").out.splitlines() == [
        b'{"depth":0,"event":' + stored[1] + b"}",
        b'{"depth":1,"event":' + stored[2] + b',"asked":true}',
        b'{"depth":2,"event":' + stored[5] + b"}",
        b'{"depth":1,"event":' + stored[4] + b"}",
    ]
    assert order.ok("trace", "payments/7@1", "-r").out.splitlines() == [stored[1], stored[2], stored[5], stored[4]]


def test_csv_has_the_depth_before_what_it_has_of_an_event(order: Evcli) -> None:
    header, *rows = order.ok("trace", "o-1", "-o", "csv").out.decode().splitlines()
    assert header == "depth,position,stream,version,time,type,data,meta,id"
    assert [row.split(",")[:4] for row in rows] == [
        ["0", "1", "orders/1", "1"],
        ["1", "2", "payments/7", "1"],
        ["1", "4", "parcels/1", "1"],
    ]


def test_mermaid_is_a_code_block_for_markdown(order: Evcli) -> None:
    assert order.ok("trace", "parcels/1@1", "--mermaid").out.decode() == (
        "```mermaid\n"
        "flowchart TD\n"
        '  n1["orders/1@1<br/>order.placed"]\n'
        "  n1 --> n2\n"
        "  n1 --> n4\n"
        '  n2["payments/7@1<br/>payment.made"]\n'
        "  n2 --> n5\n"
        '  n5["payments/7@2<br/>receipt.sent"]\n'
        '  n4["parcels/1@1<br/>parcel.packed"]:::asked\n'
        "  classDef asked stroke-width:4px\n"
        "```\n"
    )
    order.fails(2, "trace", "o-1", "--mermaid", "-o", "csv")


def test_a_cause_that_is_none_is_shown_as_such(evcli: Evcli) -> None:
    for cause in ("gone@1", "what?", "a@3"):
        evcli.ok("append", "a", "x", "--meta", f"cause={cause}", "--correlation", "odd")
    assert [table(evcli, f"a@{version}") for version in (1, 2, 3)] == [
        "* a@1  TIME  x  (cause gone@1 is not there)  {}\n",
        "* a@2  TIME  x  (cause what? names no event)  {}\n",
        "* a@3  TIME  x  (cause a@3 did not come before)  {}\n",
    ]
    assert [line["cause"] for line in evcli.ok("trace", "odd").lines] == ["outside", "malformed", "later"]


def test_the_two_legs_of_a_transfer_of_the_sample_have_one_correlation(evcli: Evcli) -> None:
    evcli.ok("append", "--from", str(SAMPLES / "bank.jsonl"), "-q")
    assert table(evcli, "T-0001") == (
        'accounts/ann@3     TIME  money.sent      {"amount":7.20,"to":"accounts/bakery","note":"coffee and cake"}  actor=ann\n'
        'accounts/bakery@3  TIME  money.received  {"amount":7.20,"from":"accounts/ann","note":"coffee and cake"}  actor=ann\n'
    )
    assert [event["event"]["id"] for event in evcli.ok("trace", "T-0001-in").lines] == ["T-0001-in"]


def test_what_is_not_there_is_exit_4_with_the_next_step(order: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    assert "orders/1 is at version 1" in order.fails(4, "trace", "orders/1@2")
    assert "evcli streams" in order.fails(4, "trace", "orders/9@1")
    assert "evcli trace orders/1@1" in order.fails(4, "trace", "orders/1")
    assert "evcli log" in order.fails(4, "trace", "o-9")
    assert "missing argument 'STREAM@VERSION|ID'" in order.fails(2, "trace")
    assert tree_hash(store_path) == before


def test_a_trace_where_no_store_is_says_how_to_make_one(evcli: Evcli, store_path: Path) -> None:
    assert "evcli init" in evcli.fails(4, "trace", "a@1")
    assert not store_path.exists()


def test_a_program_of_a_subscription_can_say_what_its_event_came_of(order: Evcli, tmp_path: Path) -> None:
    program = tmp_path / "thank.sh"
    program.write_text(
        f'{" ".join(SCRIPT)} append "mails/1" mail.asked --id "m-$EVCLI_POSITION" --cause "$EVCLI_STREAM@$EVCLI_VERSION" -q\n'
    )
    order.ok("on", "parcels/*", "--name", "thanks", "--start", "first", "--once", "--", "sh", str(program))
    assert table(order, "mails/1@1").splitlines()[-2:] == [
        "  └── parcels/1@1       TIME  parcel.packed  {}",
        "*     └── mails/1@1     TIME  mail.asked     {}",
    ]
    assert order.ok("log", "mails/1").json["meta"] == {"cause": "parcels/1@1", "correlation": "o-1"}
