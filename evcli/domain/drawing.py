"""Drawing traces: as trees of text for a terminal, and as a flowchart that Markdown can hold (Mermaid)."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from evcli.domain.events import place_of
from evcli.domain.terminal import Part, bare, compose, crop, member_texts, sanitise_cell, show_instant
from evcli.domain.traces import Traced, tell_broken, walk

_STEP: Final = 4
_MOST_STEPS: Final = 25
_PLACE_WIDTH: Final = 48
_TYPE_WIDTH: Final = 32
_LABEL_WIDTH: Final = 80
_NOT_PLAIN: Final = re.compile(r"[^\w ./@-]")


def draw_trees(
    roots: Sequence[Traced], *, width: int, colored: bool, local: Callable[[datetime], datetime]
) -> Iterator[str]:
    """Draw traces as trees, an event a row of at most ``width`` cells (0: any number), data as it was written.

    What was asked for has a ``*`` at its front. Where branches would take more than a third of the width, only the
    last of them are drawn, after ``…``.
    """
    steps = width // (3 * _STEP) if width else _MOST_STEPS
    places = [(branch + place_of(traced.event), traced) for branch, traced in _branches(roots, max(2, steps))]
    marked = any(traced.asked for _, traced in places)
    place_width = min(_PLACE_WIDTH, max((len(place) for place, _ in places), default=0))
    type_width = min(_TYPE_WIDTH, max((len(sanitise_cell(traced.event["type"])) for _, traced in places), default=0))
    for place, traced in places:
        actor = traced.event.get("meta", {}).get("actor")
        broken = tell_broken(traced)
        parts: tuple[Part, ...] = (
            (("* " if traced.asked else "  ") * marked, "red"),
            (place.ljust(place_width), "cyan"),
            ("  " + show_instant(traced.event["time"], local), "dim"),
            ("  " + sanitise_cell(traced.event["type"]).ljust(type_width), "yellow"),
            (f"  ({sanitise_cell(broken)})" if broken else "", "dim" if traced.broken == "outside" else "red"),
            ("  " + sanitise_cell(member_texts(traced.line)["data"]), "plain"),
            ("  actor=" + sanitise_cell(bare(actor)) if actor is not None else "", "dim"),
        )
        yield compose(parts, width=width, colored=colored)


def _branches(roots: Sequence[Traced], steps: int) -> Iterator[tuple[str, Traced]]:
    """Yield each event with the branch that leads to it, of which the last ``steps`` are drawn."""
    above: list[str] = []
    for traced, depth, is_last in walk(roots):
        del above[max(0, depth - 1) :]
        if depth == 0:
            yield "", traced
            continue
        cut = ["…".ljust(_STEP)] if depth > steps else []
        shown = above[len(above) - steps + 2 :] if cut else above
        yield "".join([*cut, *shown, "└── " if is_last else "├── "]), traced
        above.append(" " * _STEP if is_last else "│".ljust(_STEP))


def draw_flowchart(roots: Sequence[Traced]) -> Iterator[str]:
    """Write traces as the lines of a Markdown code block with a Mermaid flowchart, as GitHub and others show it."""
    yield "```mermaid"
    yield "flowchart TD"
    styles: set[str] = set()
    for traced, _, _ in walk(roots):
        event, node = traced.event, f"n{traced.event['position']}"
        style = ":::asked" if traced.asked else ""
        yield f'  {node}["{_label(place_of(event))}<br/>{_label(event["type"])}"]{style}'
        if traced.broken:
            yield f'  {node}cause["{_label(tell_broken(traced))}"]:::broken -.-> {node}'
        for child in traced.children:
            yield f"  {node} --> n{child.event['position']}"
        styles |= {"asked"} if traced.asked else set()
        styles |= {"broken"} if traced.broken else set()
    if "asked" in styles:
        yield "  classDef asked stroke-width:4px"
    if "broken" in styles:
        yield "  classDef broken stroke-dasharray:4"
    yield "```"


def _label(text: str) -> str:
    """Spell what Mermaid, Markdown or HTML might read as more than text by its number."""
    shown = crop(sanitise_cell(text), _LABEL_WIDTH)
    return _NOT_PLAIN.sub(lambda found: f"#{ord(found[0])};", shown)
