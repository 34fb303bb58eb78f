"""The entry point: finds the command's module, runs it, and turns errors into exit codes.

A command's module is imported only when it is the one that was named, so that no command pays for another's imports.
"""

import atexit
import gc
import os
import sys
from collections.abc import Mapping, Sequence

from evcli.cli.hot_path import HOT, understand
from evcli.cli.parameters import parameters_of
from evcli.errors import Bug, EvcliError, NotPermitted, StorageFailed, Usage
from evcli.light_typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    import signal

    from evcli.cli.output import Output
else:
    import _signal as signal  # its functions and numbers, without the enums that signal makes of them


class Command(NamedTuple):
    """One row of the table of commands: its words, the module in this package, what it is for."""

    words: str
    module: str
    purpose: str


COMMANDS: Final = (
    Command("init", "init", "make a .evcli store, and an evcli.toml to edit"),
    Command("append", "append", "record events"),
    Command("log", "log", "the events, in order: the audit trail"),
    Command("trace", "trace", "what led to an event, and what came of it"),
    Command("streams", "streams", "the streams: version, first, last, size"),
    Command("replay", "replay", "rebuild state from the log itself, as of any moment"),
    Command("step", "step", "go through a stream's states, forwards and backwards"),
    Command("query state", "query_state", "a stream's state from the cache and what came since"),
    Command("query get", "query_get", "one row of a view, by its key"),
    Command("query rows", "query_rows", "the rows of a view that a SQL expression selects"),
    Command("query sql", "query_sql", "a SQL select over the views"),
    Command("do", "do", "run a command through its decider"),
    Command("undo", "undo", "the events that would compensate one, to append"),
    Command("submit", "submit", "put a command into the queue, for a worker to handle"),
    Command("view list", "view_list", "the views, and how each one stands"),
    Command("view status", "view_status", "how one view stands"),
    Command("view rebuild", "view_rebuild", "a view's file made anew, without downtime"),
    Command("view rollback", "view_rollback", "back to the file before the last rebuild"),
    Command("view retry", "view_retry", "go on with a parked view"),
    Command("view skip", "view_skip", "leave out the event that a view is parked at"),
    Command("view drop", "view_drop", "delete a view's files"),
    Command("view path", "view_path", "where a view's SQLite file is"),
    Command("work", "work", "keep all views current, and handle submitted commands"),
    Command("on", "on", "run a program for each event, with a durable checkpoint"),
    Command("test", "test", "given / when / then for deciders and reducers"),
    Command("diff", "diff", "what changed between two states, or in a view"),
    Command("why", "why", "the event that made a value what it is"),
    Command("blame", "blame", "each value of a state with the event that set it"),
    Command("bisect", "bisect", "the first event after which a check fails"),
    Command("shrink", "shrink", "the fewest events that still fail a check, as a spec"),
    Command("verify", "verify", "check every seal and hash of the store"),
    Command("checkpoint", "checkpoint", "position:hash, one value for the whole history"),
    Command("repair", "repair", "make a damaged store whole, and say what that takes"),
    Command("trust", "trust", "allow a project's code to run"),
    Command("help", "help", "guarantees, format, design, time, reducers, views, deciders, commands, …"),
)

_GARBAGE: Final = 100_000
"""How many objects to make before looking for garbage among them: more than a short run makes."""

_GLOBAL_WITH_VALUE: Final = ("--store", "--config", "-o", "--output", "--color")
_GLOBAL_IN_ONE: Final = ("--store=", "--config=", "--output=", "--color=", "-oj", "-ot", "-oc", "-or")
_GLOBAL_FLAGS: Final = ("--json", "-r", "--raw", "-q", "--quiet")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run evcli with ``argv`` (default: the process's) and exit with the code that ``evcli help exit-codes`` tells of."""
    if sys.platform != "win32":  # ignored, as some start us, it loses exit codes: what fails would look like 0
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.set_threshold(_GARBAGE)
    code = run(sys.argv[1:] if argv is None else argv)
    if _nothing_is_left_to_do():
        os._exit(code)
    sys.exit(code)


def _nothing_is_left_to_do() -> bool:
    """Say whether the process can end without taking the interpreter apart, which takes longer than a query.

    Not where others wait for that (what is registered to run at exit, a debugger, a profiler), nor after a command that
    Typer has run, which may have left anything.
    """
    if "typer" in sys.modules or sys.flags.interactive or sys.flags.inspect or os.environ.get("PYTHONINSPECT"):
        return False
    watched = sys.gettrace() or sys.getprofile()
    if sys.version_info >= (3, 12):
        watched = watched or any(map(sys.monitoring.get_tool, range(6)))
    if watched or atexit._ncallbacks() or "threading" in sys.modules:  # noqa: SLF001 (there is no other way to know)
        return False
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # the interpreter says so as it ends
        return False
    return True


def run(argv: Sequence[str]) -> int:
    """Run evcli with ``argv`` and return its exit code."""
    if sys.platform == "win32":
        sys.stderr.write("evcli: needs Linux or macOS; on Windows, run it in WSL\n")
        return StorageFailed.exit_code
    from evcli.cli.output import Output
    from evcli.storage.files import SyncFailed

    words = _globals_last(list(argv))
    out = _plain_output(Output, words)
    try:
        code = _dispatch(words, out)
        out.close()
    except EvcliError as error:
        out.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _die_by_pipe()
    except (OSError, SyncFailed) as error:
        failed = _os_failure(error.error if isinstance(error, SyncFailed) else error)
        out.error(failed)
        return failed.exit_code
    except Exception as error:
        if os.environ.get("EVCLI_DEBUG"):
            raise
        out.error(
            Bug(
                f"a bug in evcli: {type(error).__name__}: {error}",
                "please report it with the command and what EVCLI_DEBUG=1 prints; the store is as it was",
            )
        )
        return Bug.exit_code
    return code


def _dispatch(words: list[str], out: "Output") -> int:
    command = next(
        (command for command in COMMANDS if words[: command.words.count(" ") + 1] == command.words.split()), None
    )
    if command is not None:
        return _run_command(command, words[command.words.count(" ") + 1 :])
    if not words or words[0] in ("--help", "-h"):
        out.text(overview())
        return 0
    if words[0] in ("--version", "-V"):
        from evcli import __version__

        out.text(f"evcli {__version__}")
        return 0
    group = [command for command in COMMANDS if command.words.startswith(words[0] + " ")]
    if group and words[1:] in (["--help"], ["-h"]):
        out.text("\n".join(f"evcli {command.words:<15}{command.purpose}" for command in group))
        return 0
    raise _unknown(words)


def _run_command(command: Command, arguments: list[str]) -> int:
    module = f"evcli.cli.{command.module}"
    if command.words in HOT:
        from evcli.cli.options import call, shared

        run = __import__(module, fromlist=["run"]).run  # importlib would be one more import
        given = understand([*parameters_of(run), *parameters_of(shared)], arguments)
        if given is not None:
            return call(run, given)
    from evcli.cli.typer_command import run_command

    return run_command(command.words, module, arguments)


def _unknown(words: list[str]) -> Usage:
    from difflib import get_close_matches

    known = [command.words for command in COMMANDS]
    group = [name for name in known if name.startswith(words[0] + " ")]
    if group:
        return Usage(
            f"'evcli {words[0]}' takes one of: {', '.join(name.split()[1] for name in group)}",
            f"try 'evcli {group[0]} --help'",
        )
    if words[0] in _GLOBAL_WITH_VALUE and len(words) == 1:
        return Usage(f"option {words[0]} needs a value", "for example: evcli --store ./books log")
    if words[0] in (*_GLOBAL_WITH_VALUE, *_GLOBAL_FLAGS) or words[0].startswith(_GLOBAL_IN_ONE):
        return Usage("a command is missing", "for example: evcli --store ./books log; more in 'evcli --help'")
    if words[0].startswith("-"):
        return Usage(f"no such option: {words[0]}", "try 'evcli --help'; options of a command follow its name")
    near = get_close_matches(words[0], known, 1, 0.5)
    return Usage(f"no such command: {words[0]}", f"did you mean 'evcli {near[0]}'?" if near else "try 'evcli --help'")


def overview() -> str:
    """Return what ``evcli --help`` prints."""
    rows = "\n".join(f"  evcli {command.words:<15}{command.purpose}" for command in COMMANDS)
    return (
        "Event sourcing and CQRS for the shell: facts in plain files, state as of any moment.\n\n"
        "Examples:\n"
        "  evcli append accounts/ann money.deposited amount:=10.00\n"
        "  evcli log accounts/ann\n"
        "  evcli replay accounts/ann --until yesterday\n"
        "  evcli query state accounts/ann /balance\n\n"
        f"Commands:\n{rows}\n\n"
        "Everywhere: --store DIR, --config FILE, -o table|json|jsonl|csv|raw, --color auto|always|never, -q\n"
        "More: 'evcli COMMAND --help', 'evcli help design'\n"
    )


def _globals_last(words: list[str]) -> list[str]:
    """Move options that stand before the command behind its name, where every command takes them."""
    moved: list[str] = []
    while words:
        if words[0] in _GLOBAL_WITH_VALUE and len(words) > 1:
            moved += words[:2]
            words = words[2:]
        elif words[0] in _GLOBAL_FLAGS or words[0].startswith(_GLOBAL_IN_ONE):
            moved.append(words[0])
            words = words[1:]
        else:
            break
    depth = next((c.words.count(" ") + 1 for c in COMMANDS if words[: c.words.count(" ") + 1] == c.words.split()), 1)
    return words[:depth] + moved + words[depth:]


def _plain_output(output: "type[Output]", words: list[str]) -> "Output":
    """Make the output for errors, as the words ask for it: they may be just what cannot be parsed."""
    words = words[: words.index("--")] if "--" in words else words
    pairs = list(zip(words, [*words[1:], ""], strict=False))
    json = any(
        word in ("--json", "-ojson", "-ojsonl", "--output=json", "--output=jsonl")
        or (word in ("-o", "--output") and value in ("json", "jsonl"))
        for word, value in pairs
    )
    color = next((value for word, value in pairs if word == "--color" and value in ("always", "never")), "auto")
    return output(
        requested="jsonl" if json else None,
        color=color,  # type: ignore[arg-type]  # one of the two texts just compared, or auto
        env=_env(),
        stdout=sys.stdout,
        stderr=sys.stderr,
    )


def _env() -> Mapping[str, str]:
    return os.environ


def _os_failure(error: OSError) -> EvcliError:
    what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    if isinstance(error, PermissionError) or error.errno == 30:  # noqa: PLR2004 (EROFS)
        return NotPermitted(what, "check who may read and write there, or name another place")
    return StorageFailed(what, "check the path and the disk")


def _die_by_pipe() -> NoReturn:
    """End as any filter does whose reader is gone."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)
