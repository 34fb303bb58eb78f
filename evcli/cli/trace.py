"""``evcli trace``: what led to what."""

from typing import Annotated

from evcli.cli.options import Context
from evcli.cli.parameters import Argument, Option
from evcli.errors import Usage

EXAMPLES = """\
evcli trace accounts/ann@3
evcli trace order-76
evcli trace order-76 -o jsonl | jq -r '"\\(.depth) \\(.event.type)"'
evcli trace order-76 --mermaid"""

What = Annotated[
    str,
    Argument(metavar="STREAM@VERSION|ID", help="An event; or a correlation, or the id of an event or a command"),
]
Mermaid = Annotated[bool, Option("--mermaid", help="Print a flowchart, as a code block for Markdown")]


def run(context: Context, what: What, mermaid: Mermaid = False) -> None:  # noqa: FBT002
    """Print what led to an event and what came of it, as a tree; or the events of one conversation, as trees.

    An event's meta names the one that led to it (--cause of append, do and submit), and what it is part of
    (--correlation); what follows from a submitted command has that as its cause. STREAM@VERSION gives the whole tree
    from the first cause on, with a * at the event. ID gives all events that have it as correlation or id. Where a cause
    is missing, or is none, a tree begins and says so.

    -o json is an array of the roots, each {"event":…,"children":[…]}; in a pipe it is a line for each event,
    {"depth":…,"event":…}; -r gives the stored lines. What is marked has "asked", and a cause that does not stand above
    its event is told of in "cause": missing, malformed, later (than the event), or outside (of the conversation).
    """
    if mermaid and context.out.requested:
        raise Usage("--mermaid and -o do not go together", "leave out one of them")
    found = context.store.trace(what)
    if mermaid:
        from evcli.domain.drawing import draw_flowchart

        context.out.text("\n".join(draw_flowchart(found)))
    else:
        context.out.trace(found)
