"""What the commands share: the options that all of them take, and how a command's module becomes a command.

A command's module has a function ``run(context, …)`` whose parameters are Typer's, a text ``EXAMPLES`` with one
example a line, and nothing else that is public.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from evcli import places
from evcli.api import Store
from evcli.cli.output import Output
from evcli.domain.instants import parse_instant
from evcli.errors import StorageFailed, Usage

if TYPE_CHECKING:
    from evcli.project.choosing import Choice

_VERSION: Final = re.compile(r"[0-9]{1,19}")
_UsageError: Final[type[Any]] = typer.BadParameter.__bases__[0]


class OutputFormat(StrEnum):
    """The values of ``-o``."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    raw = "raw"


class ColorChoice(StrEnum):
    """The values of ``--color``."""

    auto = "auto"
    always = "always"
    never = "never"


class Context:
    """What a command was given by the options that all commands take: its output, and the store to open."""

    def __init__(self, out: Output, store: str | None, config: str | None) -> None:
        self.out = out
        self.store_option = store
        self.config_option = config
        self.allow_network_fs = False
        self._is_new = False

    @cached_property
    def store(self) -> Store:
        """The store that the options, the environment or the working directory name."""
        return Store.open(self.store_option, config=self.config_option, allow_network_fs=self.allow_network_fs)

    def choice(self, *, near: str | None = None, reducer: str | None, decider: str | None = None) -> "Choice":
        """Return what folds and decides: what is named, else by the ``evcli.toml`` nearest to ``near``, or the store's.

        Raises:
            BadConfig: If the one that is named is not there.
        """
        from evcli.project.choosing import Choice

        cwd = os.getcwd()
        config = places.find_config(
            self.config_option, os.environ, places.find_store(self.store_option, os.environ, cwd), near=near
        )
        return Choice(config, places.state_root(os.environ), cwd, reducer, decider)

    def expect_new_store(self) -> None:
        """Say, once something was stored, where a store was made that was not there: so a typo is seen."""
        self._is_new = not self.store.exists

    def tell_new_store(self) -> None:
        """Say so now, if it was made."""
        if self._is_new:
            self.out.note(f"new store in {self.store.location}")
            self._is_new = False


def run_command(words: str, module: str, arguments: Sequence[str]) -> int:
    """Run one command's module with its arguments; return its exit code.

    Raises:
        EvcliError: As the command does; Usage where its arguments are wrong.
    """
    command = build_command(words, module)
    try:
        # Not command.main, which has a way of its own to end when the reader of a pipe has gone.
        with command.make_context(f"evcli {words}", list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except _UsageError as error:
        example = import_module(module).EXAMPLES.splitlines()[0]
        message = error.format_message().rstrip(".").replace("a valid int range", "a whole number")
        raise Usage(
            message[:1].lower() + message[1:], f"for example: {example}; more in 'evcli {words} --help'"
        ) from error
    return result if isinstance(result, int) else 0


@cache
def build_command(words: str, module: str) -> Any:  # noqa: ANN401 (Typer's own class of commands)
    """Make, once, the Typer command of a command's module: its options, the shared ones, and its examples first in its help."""
    loaded = import_module(module)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(words, help=loaded.run.__doc__, context_settings={"help_option_names": ["--help", "-h"]})(
        _with_shared_options(loaded.run)
    )
    command = typer.main.get_command(app)
    format_help = command.format_help

    def with_examples_first(ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in loaded.EXAMPLES.splitlines()) + "\n")
        format_help(ctx, formatter)

    command.format_help = with_examples_first  # type: ignore[method-assign]  # Typer takes no class of commands of one's own here
    return command


def _with_shared_options(run: Callable[..., int | None]) -> Callable[..., int]:
    """Give a command's function the options that all commands take in place of its ``context``."""

    def command(**given: Any) -> int:  # noqa: ANN401
        requested = given.pop("output")
        if given.pop("json"):
            requested = OutputFormat.json
        if given.pop("raw"):
            requested = OutputFormat.raw
        out = Output(
            requested=requested.value if requested else None,
            color=given.pop("color").value,
            quiet=given.pop("quiet"),
            env=os.environ,
            stdout=sys.stdout,
            stderr=sys.stderr,
        )
        context = Context(out, given.pop("store"), given.pop("config"))
        code = run(context, **given)
        out.close()
        return code or 0

    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    shared = list(inspect.signature(_shared, eval_str=True).parameters.values())
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect.signature looks for
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own + shared]
    )
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in own + shared}
    return command


def _shared(
    store: Annotated[
        str | None, typer.Option("--store", metavar="DIR", help="The store; else EVCLI_STORE, else the nearest .evcli")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="The evcli.toml; else EVCLI_CONFIG, else beside the store"),
    ] = None,
    output: Annotated[
        OutputFormat | None, typer.Option("--output", "-o", help="Default: table on a terminal, jsonl in a pipe")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as -o json")] = False,  # noqa: FBT002 (Typer's way to say a flag)
    raw: Annotated[bool, typer.Option("--raw", "-r", help="The same as -o raw: a string without its quotes")] = False,  # noqa: FBT002
    color: Annotated[
        ColorChoice, typer.Option("--color", help="Colour on a terminal, always or never")
    ] = ColorChoice.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing on success")] = False,  # noqa: FBT002
) -> None:
    """Hold the options that every command takes."""


def standard_input() -> BinaryIO:
    """Return standard input's bytes.

    Raises:
        StorageFailed: If the process was started without one.
    """
    if sys.stdin is None:
        raise StorageFailed("standard input is closed", "give it a file or a pipe, as in: evcli append … - < FILE")
    return sys.stdin.buffer


def instant(text: str | None, *, end: bool = False) -> str | None:
    """Read a time from an option; ``end`` takes a day or month for its last moment.

    Raises:
        BadTime: If it cannot be read.
    """
    if text is None:
        return None
    return parse_instant(text, now=datetime.now(UTC), local=datetime.astimezone, end=end)


Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="As of then: events up to and including TIME")
]
To = Annotated[
    int | None, typer.Option("--to", metavar="VERSION", min=0, help="Up to and including VERSION (or STREAM@VERSION)")
]
ReducerOption = Annotated[
    str | None,
    typer.Option("--reducer", metavar="NAME|FILE.py|'exec:PROGRAM'", help="Instead of the one configured"),
]
Cached = Annotated[bool, typer.Option("--cached", help="Answer from what is cached, without catching up")]
AtLeast = Annotated[
    int | None, typer.Option("--at-least", metavar="P", min=0, help="Wait until position P is included")
]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait for that, then 75")]
CheckDeterministic = Annotated[
    bool,
    typer.Option(
        "--check-deterministic", help="Try it in other surroundings too, and say where it comes out otherwise"
    ),
]
WithVersion = Annotated[bool, typer.Option("--with-version", help="Print stream and version with the state")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, write nothing")]
LockWait = Annotated[str, typer.Option("--lock-wait", metavar="TIME", help="How long to wait for the store's lock")]
AllowNetwork = Annotated[bool, typer.Option("--allow-network-fs", help="Write to a store on a network file system")]


def split_version(text: str) -> tuple[str, int, int | None]:
    """Split ``STREAM``, ``STREAM@V`` (up to V) or ``STREAM@A..B`` into the name, the version before the first, and the last.

    Raises:
        Usage: If what follows the ``@`` is no version.
    """
    name, at, versions = text.partition("@")
    if not at:
        return name, 0, None
    first, dots, last = versions.partition("..")
    if not (first or dots) or not all(_VERSION.fullmatch(part) for part in (first, last) if part):
        raise Usage(f"{text!r} names no version", "write accounts/ann@3 (up to version 3), or accounts/ann@3..5")
    if not dots:
        return name, 0, int(first)
    return name, max(0, int(first) - 1) if first else 0, int(last) if last else None
