"""``--check-deterministic``: what ``replay`` and ``test`` have in common in it."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from evcli.cli.extents import Extents
from evcli.cli.options import Context
from evcli.cli.output import Outcome
from evcli.domain.terminal import Part, sanitise
from evcli.errors import AnswerIsNo, Conflict, Rejected
from evcli.replay import read_lines

if TYPE_CHECKING:
    from evcli.determinism.comparing import Comparison, Finding
    from evcli.project.choosing import Choice, Chosen
    from evcli.specs import running


CHECKED: Final = ("deterministic", "event", "type", "how", "path", "values")
"""What a record may say of a check, as columns."""


def check_streams(context: Context, found: Extents, reducer: str | None) -> None:
    """Check whether streams fold into the same states in other surroundings, and print of each whether it does.

    Raises:
        AnswerIsNo: If one does not.
        CodeFailed: If one does not fold at all.
    """
    from evcli.determinism.comparing import Comparison, History
    from evcli.project.definitions import is_program

    end = found.end
    streams = [(extent.stream, extent.version) for extent in found.streams]
    choice = context.choice(reducer=reducer)
    chosen = choice.load()
    definitions = {stream: chosen.definition_for(stream) for stream, _ in streams}
    for definition in definitions.values():
        definition.load()  # what may not run, or is not there, is told of before anything is started
    failed = 0

    def check(comparison: "Comparison") -> Iterator[Outcome]:
        nonlocal failed
        for stream, version in streams:
            lines_to = partial(read_lines, context.store.log, stream, end=end)
            history = History(stream, version, lines_to, by_program=is_program(definitions[stream]))
            finding = comparison.check_history(history, context.store.snapshots(stream, reducer=reducer))
            failed += finding is not None
            yield {"stream": stream, "version": version} | check_record(finding), _rows(f"{stream}@{version}", finding)

    with Comparison(choice, programs=any(map(is_program, definitions.values()))) as comparison:
        context.out.outcomes(("stream", "version", *CHECKED), check(comparison))
    if failed:
        count = f"{len(streams)} streams" if len(streams) != 1 else "1 stream"
        raise AnswerIsNo(f"{failed} of {count} came out otherwise in other surroundings", "see 'evcli help testing'")


class SpecChecks:
    """Checks specs, in processes that are started when they are first needed.

    Args:
        timeout: Seconds that a decider may take; None for any.
    """

    def __init__(self, *, timeout: float | None) -> None:
        self._timeout = timeout
        self._closing = ExitStack()
        self._comparisons: dict[Choice, Comparison] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def check(self, outcome: "running.Outcome", choice: "Choice", chosen: "Chosen") -> "Finding | None":
        """Return what comes out otherwise of a spec that ran: in its stream's states, or of its command.

        A spec whose code has failed is left alone.
        """
        from evcli.determinism.comparing import History
        from evcli.project.definitions import is_program
        from evcli.specs.running import definition_of

        spec, ran = outcome.spec, outcome.ran
        if outcome.error is not None and not isinstance(ran.error, Rejected | Conflict):
            return None
        decides = spec.when is not None
        definition = definition_of(spec.stream, chosen) if decides else chosen.definition_for(spec.stream)
        comparison = self._comparison(choice, chosen)
        end = ran.store.head().position
        info = ran.store.info(spec.stream, end=end)
        lines_to = partial(read_lines, ran.store, spec.stream, end=end)
        history = History(
            spec.stream, info.version if info else 0, lines_to, decides=decides, by_program=is_program(definition)
        )
        finding = comparison.check_history(history)
        if finding is None and decides:
            finding = comparison.check_decision(spec, timeout=self._timeout)
        return finding

    def _comparison(self, choice: "Choice", chosen: "Chosen") -> "Comparison":
        from evcli.determinism.comparing import Comparison

        if choice not in self._comparisons:
            comparison = Comparison(choice, programs=chosen.has_programs())
            self._comparisons[choice] = self._closing.enter_context(comparison)
        return self._comparisons[choice]


def check_record(finding: "Finding | None") -> dict[str, Any]:
    """Return what a record says of a check."""
    return {"deterministic": True} if finding is None else {"deterministic": False, **finding.as_json()}


def _rows(name: str, finding: "Finding | None") -> list[list[Part]]:
    if finding is None:
        return [[("ok", "green"), (f"      {sanitise(name)}", "plain")]]
    problem = f"  {sanitise(str(finding))}"
    return [[("FAILED", "red"), (f"  {sanitise(name)}", "plain")], [(problem, "plain")]]
