"""How values become the cells of tables and of CSV (RFC 4180)."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from evcli.domain import terminal
from evcli.domain.terminal import sanitise

EVENT_COLUMNS: Final = ("position", "stream", "version", "time", "type", "data", "meta", "id")


def table_lines(columns: Sequence[str], listing: Sequence[Sequence[str]], *, width: int, colored: bool) -> list[str]:
    """Lay cells out as the lines of a table; a ``width`` of 0 cuts nothing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, column in zip(columns, zip(*listing, strict=True), strict=True):
        side: Literal["left", "right"] = "right" if all(map(str.isdecimal, column)) else "left"
        table.add_column(Text(sanitise(name)), justify=side, no_wrap=True, overflow="ellipsis")
    for cells in listing:
        table.add_row(*map(Text, cells))
    canvas = io.StringIO()
    console = Console(
        file=canvas,
        width=width or 100_000,
        force_terminal=colored,
        color_system="standard" if colored else None,
        no_color=not colored,
        _environ={},  # what it says has been heeded already
    )
    console.print(table)
    return [row.rstrip() for row in canvas.getvalue().splitlines()]


def cell_text(value: Any, *, time: bool) -> str:  # noqa: ANN401
    """Return a JSON value as a table shows it; ``time`` for an instant, which it shows in the local zone."""
    text = "" if value is None else terminal.bare(value)
    return terminal.show_instant(text, datetime.astimezone) if time else terminal.sanitise_cell(text)


def csv_row(cells: Iterable[Any]) -> bytes:
    """Return JSON values as a line of CSV, without its newline."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow("" if cell is None else terminal.bare(cell) for cell in cells)
    return row.getvalue().encode("utf-8", "surrogateescape")


def event_cells(line: bytes) -> list[str]:
    """Return what a stored event has for each of `EVENT_COLUMNS`, spelled as it is stored."""
    texts = terminal.member_texts(line)
    strings = {name: json.loads(texts[name]) for name in texts.keys() & {"stream", "time", "type", "id"}}
    return [strings.get(name) or texts.get(name, "") for name in EVENT_COLUMNS]
