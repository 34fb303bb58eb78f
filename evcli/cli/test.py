"""``evcli test``: given / when / then for deciders and reducers."""

import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from evcli.cli.commands import DeciderOption, DeciderTimeout, read_timeout
from evcli.cli.determinism import CHECKED, SpecChecks, check_record
from evcli.cli.options import CheckDeterministic, Context, ReducerOption, split_version, standard_input
from evcli.cli.output import Outcome
from evcli.cli.parameters import Argument, Option
from evcli.errors import AnswerIsNo, Usage
from evcli.project.choosing import Choice, Chosen
from evcli.specs.files import read_specs
from evcli.specs.model import Spec
from evcli.specs.recording import record_spec
from evcli.specs.report import outcome_record, outcome_rows
from evcli.specs.running import run_spec
from evcli.storage.codec import dump

EXAMPLES = """\
evcli test specs.toml
evcli test specs/*.toml specs.jsonl -q
evcli test specs.toml --decider bank.py
evcli test specs.toml --check-deterministic
evcli test --record accounts/ann@5 >> specs.jsonl"""

Specs = Annotated[
    list[str] | None, Argument(metavar="[SPEC]...", help="Files: *.toml, else JSON lines; - is standard input")
]
Record = Annotated[
    str | None,
    Option("--record", metavar="STREAM@VERSION", help="Print the spec that tells of this event, one line"),
]

_COLUMNS: Final = ("spec", "file", "line", "ok", "expected", "actual")


def run(
    context: Context,
    specs: Specs = None,
    record: Record = None,
    decider: DeciderOption = None,
    reducer: ReducerOption = None,
    timeout: DeciderTimeout = "30s",
    check_deterministic: CheckDeterministic = False,  # noqa: FBT002
) -> None:
    """Run specs: given these events, when this command comes, then these events follow, or a refusal, or a state.

    Deciders and reducers are those of the nearest evcli.toml from the spec's directory upwards (else of the store's),
    and run as in life, on a store in memory. A spec that fails is shown with what differs, and the exit code is 1.
    With --check-deterministic a spec fails too if its states, or what is decided, come out otherwise in processes with
    another hash seed, clock, time zone and locale. See 'evcli help testing'.
    """
    limit = read_timeout(timeout)
    if record is not None:
        if specs:
            raise Usage(
                "--record takes no spec files", "it prints one: evcli test --record accounts/ann@5 >> specs.jsonl"
            )
        _record(context, record, reducer)
        return
    if not specs:
        raise Usage("no spec is named", "for example: evcli test specs.toml; see 'evcli help testing'")
    read = list(_read(context, specs, reducer, decider))
    failed = 0

    def check(checks: SpecChecks) -> Iterator[Outcome]:
        nonlocal failed
        for spec, choice, chosen in read:
            outcome = run_spec(spec, chosen, timeout=limit)
            finding = checks.check(outcome, choice, chosen) if check_deterministic else None
            told = outcome_record(outcome, ok=finding is None)
            told |= check_record(finding) if check_deterministic else {}
            failed += not told["ok"]
            yield told, outcome_rows(outcome, "" if finding is None else str(finding))
        if not failed:
            yield None, [[(f"{_count(len(read))} passed", "plain")]]

    with SpecChecks(timeout=limit) as checks:
        context.out.outcomes((*_COLUMNS, *(CHECKED if check_deterministic else ())), check(checks))
    if failed:
        raise AnswerIsNo(f"{failed} of {_count(len(read))} failed")


def _read(
    context: Context, files: Sequence[str], reducer: str | None, decider: str | None
) -> Iterator[tuple[Spec, Choice, Chosen]]:
    """Yield all specs, with what each is run by: all are read before the first is run."""
    loaded: dict[Choice, Chosen] = {}
    for file in files:
        folder = os.getcwd() if file == "-" else os.path.dirname(os.path.abspath(file))
        choice = context.choice(near=folder, reducer=reducer, decider=decider)
        for spec in read_specs(file, _content(file)):
            loaded[choice] = chosen = loaded.get(choice) or choice.load()
            yield spec, choice, chosen


def _content(file: str) -> bytes:
    if file == "-":
        return standard_input().read()
    with open(file, "rb") as opened:
        return opened.read()


def _record(context: Context, text: str, reducer: str | None) -> None:
    stream, _, version = split_version(text)
    if not version or ".." in text:
        raise Usage(f"--record {text!r} is no event", "write STREAM@VERSION, as in --record accounts/ann@5")
    definition = context.store.definition(stream, reducer)
    context.out.line(dump(record_spec(context.store.log, context.store.event(stream, version), definition)))


def _count(number: int) -> str:
    return "1 spec" if number == 1 else f"{number} specs"
