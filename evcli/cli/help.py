"""``evcli help``: the topics, which are Markdown files in this package."""

from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated

from evcli.cli.options import Context
from evcli.cli.parameters import Argument
from evcli.errors import Usage

EXAMPLES = """\
evcli help
evcli help design
evcli help exit-codes"""


def topics() -> list[str]:
    """Return the names of the help topics, sorted."""
    folder = files("evcli.cli") / "topics"
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))


def topic_text(name: str) -> str:
    """Return a topic's text.

    Raises:
        Usage: If there is no such topic.
    """
    known = topics()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise Usage(
            f"no help on {name!r}", f"did you mean 'evcli help {near[0]}'?" if near else f"topics: {', '.join(known)}"
        )
    return (files("evcli.cli") / "topics" / f"{name}.md").read_text(encoding="utf-8")


def run(
    context: Context,
    topic: Annotated[list[str] | None, Argument(metavar="[TOPIC|COMMAND]", help="A topic, or a command's name")] = None,
) -> None:
    """Explain a topic: what evcli guarantees, what is on disk, how time is read, how to think in events."""
    from evcli.cli.main import COMMANDS, overview
    from evcli.cli.main import run as run_evcli

    name = " ".join(topic or ())
    if not name:
        context.out.text(overview() + "\nTopics (evcli help TOPIC): " + ", ".join(topics()))
    elif name in {command.words for command in COMMANDS} - set(topics()):
        run_evcli([*name.split(), "--help"])
    else:
        context.out.text(topic_text(name))
