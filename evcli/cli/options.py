"""What the commands share: the options that all or several of them take, and the context that they run in."""

import os
import re
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property

from evcli import places
from evcli.cli.output import Output
from evcli.cli.parameters import Option
from evcli.errors import StorageFailed, Usage
from evcli.light_typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

if TYPE_CHECKING:
    from evcli.api import Store
    from evcli.project.choosing import Choice

_VERSION: Final = r"[0-9]{1,19}"


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
    def store(self) -> "Store":
        """The store that the options, the environment or the working directory name."""
        from evcli.api import Store

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


def call(run: Callable[..., int | None], given: dict[str, Any]) -> int:
    """Run a command's function with what its own and the shared parameters were given; return its exit code."""
    requested: OutputFormat | None = given.pop("output")
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


def shared(
    store: Annotated[
        str | None, Option("--store", metavar="DIR", help="The store; else EVCLI_STORE, else the nearest .evcli")
    ] = None,
    config: Annotated[
        str | None,
        Option("--config", metavar="FILE", help="The evcli.toml; else EVCLI_CONFIG, else beside the store"),
    ] = None,
    output: Annotated[
        OutputFormat | None, Option("--output", "-o", help="Default: table on a terminal, jsonl in a pipe")
    ] = None,
    json: Annotated[bool, Option("--json", help="The same as -o json")] = False,  # noqa: FBT002 (Typer's way to say a flag)
    raw: Annotated[bool, Option("--raw", "-r", help="The same as -o raw: a string without its quotes")] = False,  # noqa: FBT002
    color: Annotated[ColorChoice, Option("--color", help="Colour on a terminal, always or never")] = ColorChoice.auto,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print nothing on success")] = False,  # noqa: FBT002
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
    from datetime import UTC, datetime

    from evcli.domain.instants import parse_instant

    return parse_instant(text, now=datetime.now(UTC), local=datetime.astimezone, end=end)


Until = Annotated[str | None, Option("--until", metavar="TIME", help="As of then: events up to and including TIME")]
To = Annotated[
    int | None, Option("--to", metavar="VERSION", min=0, help="Up to and including VERSION (or STREAM@VERSION)")
]
ReducerOption = Annotated[
    str | None,
    Option("--reducer", metavar="NAME|FILE.py|'exec:PROGRAM'", help="Instead of the one configured"),
]
Cached = Annotated[bool, Option("--cached", help="Answer from what is cached, without catching up")]
AtLeast = Annotated[int | None, Option("--at-least", metavar="P", min=0, help="Wait until position P is included")]
Timeout = Annotated[str, Option("--timeout", metavar="TIME", help="How long to wait for that, then 75")]
CheckDeterministic = Annotated[
    bool,
    Option("--check-deterministic", help="Try it in other surroundings too, and say where it comes out otherwise"),
]
WithVersion = Annotated[bool, Option("--with-version", help="Print stream and version with the state")]
DryRun = Annotated[bool, Option("--dry-run", help="Show what would be written, write nothing")]
LockWait = Annotated[str, Option("--lock-wait", metavar="TIME", help="How long to wait for the store's lock")]
AllowNetwork = Annotated[bool, Option("--allow-network-fs", help="Write to a store on a network file system")]


def split_version(text: str) -> tuple[str, int, int | None]:
    """Split ``STREAM``, ``STREAM@V`` (up to V) or ``STREAM@A..B`` into the name, the version before the first, and the last.

    Raises:
        Usage: If what follows the ``@`` is no version.
    """
    name, at, versions = text.partition("@")
    if not at:
        return name, 0, None
    first, dots, last = versions.partition("..")
    if not (first or dots) or not all(re.fullmatch(_VERSION, part) for part in (first, last) if part):
        raise Usage(f"{text!r} names no version", "write accounts/ann@3 (up to version 3), or accounts/ann@3..5")
    if not dots:
        return name, 0, int(first)
    return name, max(0, int(first) - 1) if first else 0, int(last) if last else None
