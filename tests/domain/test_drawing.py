import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.drawing import draw_flowchart, draw_trees
from evcli.domain.terminal import sanitise
from evcli.domain.traces import Traced, grow
from tests.domain.growing import chain, event

LABEL = re.compile(r'  n\d+\["((?:[^"#]|#\d+;)*)"\](?::::asked)?')


def an_hour_ahead(moment: datetime) -> datetime:
    return moment.astimezone(timezone(timedelta(hours=1)))


def drawn(roots: list[Traced], *, width: int = 0, colored: bool = False) -> list[str]:
    return list(draw_trees(roots, width=width, colored=colored, local=an_hour_ahead))


def orders(asked: tuple[str, int] | None = None) -> list[Traced]:
    """Grow an order that leads to a payment with a receipt, and to a parcel; and something that stands alone."""
    return grow(
        [
            event(1, "web@8", stream="orders/1", version=1, type="order.placed", data={"total": 5}),
            event(2, "orders/1@1", stream="payments/7", version=1, type="payment.made"),
            event(3, stream="other", version=1, data="x", meta={"actor": "ann"}),
            event(4, "orders/1@1", stream="parcels/1", version=1, type="parcel.packed"),
            event(5, "payments/7@1", stream="payments/7", version=2, type="receipt.sent"),
        ],
        asked=asked,
    )


def test_a_tree_has_a_row_for_each_event() -> None:
    assert drawn(orders()) == [
        'orders/1@1            2026-01-01 01:00:00  order.placed   (cause web@8 is not part of it)  {"total":5}',
        "├── payments/7@1      2026-01-01 01:00:00  payment.made   2",
        "│   └── payments/7@2  2026-01-01 01:00:00  receipt.sent   5",
        "└── parcels/1@1       2026-01-01 01:00:00  parcel.packed  4",
        'other@1               2026-01-01 01:00:00  t              "x"  actor=ann',
    ]


def test_what_was_asked_for_is_marked() -> None:
    rows = drawn(orders(("payments/7", 2)))
    assert [row[:6] for row in rows] == ["  orde", "  ├── ", "* │   ", "  └── ", "  othe"]


@pytest.mark.parametrize("width", [1, 20, 40, 80])
def test_rows_are_cropped_to_the_width_of_the_terminal(width: int) -> None:
    rows = drawn(orders(("payments/7", 2)), width=width)
    assert max(len(row) for row in rows) == width


def test_of_deep_branches_the_last_are_drawn() -> None:
    rows = drawn(grow(chain(60)), width=80)
    assert [row.partition("  2026")[0].rstrip() for row in (*rows[:3], *rows[5:8], rows[-1])] == [
        "s@1",
        "└── s@2",
        "    └── s@3",
        "                └── s@6",
        "                    └── s@7",
        "…                   └── s@8",
        "…                   └── s@60",
    ]
    assert len(drawn(grow(chain(60)))[-1]) < 150


def test_drawing_a_long_chain_takes_no_more_for_its_last_event_than_for_its_first() -> None:
    assert sum(map(len, drawn(grow(chain(10_000))))) < 10_000 * 160


def test_colours_change_no_character_of_a_tree() -> None:
    colored = drawn(orders(("orders/1", 1)), colored=True)
    assert "\x1b[36m" in colored[0]
    assert [re.sub(r"\x1b\[[0-9]*m", "", row) for row in colored] == drawn(orders(("orders/1", 1)))


@given(st.text(min_size=1))
def test_no_text_can_command_a_terminal_or_break_a_row(text: str) -> None:
    roots = grow([event(1, text, type=text, data=text), event(2, "s@1", meta={"actor": text})])
    assert [row for row in drawn(roots) if sanitise(row) != row or "\n" in row] == []


def test_a_flowchart_is_a_block_of_markdown() -> None:
    assert list(draw_flowchart(orders(("payments/7", 2)))) == [
        "```mermaid",
        "flowchart TD",
        '  n1["orders/1@1<br/>order.placed"]',
        '  n1cause["cause web@8 is not part of it"]:::broken -.-> n1',
        "  n1 --> n2",
        "  n1 --> n4",
        '  n2["payments/7@1<br/>payment.made"]',
        "  n2 --> n5",
        '  n5["payments/7@2<br/>receipt.sent"]:::asked',
        '  n4["parcels/1@1<br/>parcel.packed"]',
        '  n3["other@1<br/>t"]',
        "  classDef asked stroke-width:4px",
        "  classDef broken stroke-dasharray:4",
        "```",
    ]


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ('a"b]', "a#34;b#93;"),
        ("`x`", "#96;x#96;"),
        ("a\nb", "a#92;u000ab"),
        ("<b>&amp;", "#60;b#62;#38;amp#59;"),
        ("#quot;", "#35;quot#59;"),
        ("style x:y", "style x#58;y"),
        ("***", "#42;#42;#42;"),
        ("Größe 北京", "Größe 北京"),
        ("x" * 200, "x" * 79 + "#8230;"),
    ],
)
def test_a_label_is_nothing_but_text(kind: str, label: str) -> None:
    assert list(draw_flowchart(grow([event(1, type=kind)])))[2] == f'  n1["s@1<br/>{label}"]'


@given(st.text(min_size=1), st.one_of(st.text(), st.lists(st.text())))
def test_whatever_a_type_or_a_cause_is_a_flowchart_stays_whole(kind: str, cause: Any) -> None:
    first, last = event(1, type=kind), event(2, cause, type=kind)
    lines = list(draw_flowchart(grow([first, last])))
    assert json.loads(first[1])["type"] == kind
    assert (lines[0], lines[1], lines[-1]) == ("```mermaid", "flowchart TD", "```")
    assert all(LABEL.fullmatch(line) for line in lines if re.match(r"  n\d+\[", line))
    assert [line for line in lines[1:-1] if "`" in line or "\n" in line] == []
