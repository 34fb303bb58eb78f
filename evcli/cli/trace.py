"""``evcli trace``: what led to what."""

from typing import Annotated

import typer

from evcli.cli.options import Context
from evcli.errors import Usage

EXAMPLES = """\
evcli trace accounts/ann@3
evcli trace order-76
evcli trace order-76 -o jsonl | jq -r '"\\(.depth) \\(.event.type)"'
evcli trace order-76 --mermaid"""

What = Annotated[
    str,
    typer.Argument(metavar="STREAM@VERSION|ID", help="An event; or a correlation, or the id of an event or a command"),
]
Mermaid = Annotated[bool, typer.Option("--mermaid", help="Print a flowchart, as a code block for Markdown")]


def run(context: Context, what: What, mermaid: Mermaid = False) -> None:  # noqa: FBT002
    """Print the tree of causes and effects in which an event stands, or the trees of one conversation.

    An event follows from the one that its meta names as cause (--cause, and by itself for what 'evcli work' stores), and
    belongs to the conversation that it names as correlation. STREAM@VERSION: up to the first cause, then all that came of
    it; * marks the event. ID: all events that have it as correlation or id. With -o json an array of the roots, each
    {"event":…,"children":[…]}; as lines {"depth":…,"event":…}; with -r the stored lines. A cause that is none is told of.
    """
    if mermaid and context.out.requested:
        raise Usage("--mermaid and -o do not go together", "leave out one of them")
    found = context.store.trace(what)
    if mermaid:
        from evcli.domain.drawing import draw_flowchart

        context.out.text("\n".join(draw_flowchart(found)))
    else:
        context.out.trace(found)
