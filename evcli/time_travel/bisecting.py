"""Which event broke it: the first after which a check fails, every one after which it answers otherwise, or a search."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from evcli.domain.patches import Change, changes_between
from evcli.domain.pointers import MISSING
from evcli.domain.values import Json
from evcli.errors import CodeFailed, Usage
from evcli.replay import StreamState, to_json
from evcli.storage.codec import loads
from evcli.time_travel.checking import Check, Subject, Verdict
from evcli.time_travel.timeline import Timeline
from evcli.time_travel.view_timeline import ViewTimeline


class Flip(NamedTuple):
    """An event, as it is stored, after which a check answers otherwise than before it.

    ``number`` is its version, or in a view its position; ``key`` that of the row it changed, None in a stream.
    ``before`` and ``after`` are the state (the row) on both sides of it, ``holds`` is what the check answers now, and
    ``skipped`` are the numbers right before it that could not be judged: it may have been one of those.
    """

    number: int
    line: bytes
    key: str | None
    before: Json
    after: Json
    holds: bool
    skipped: tuple[int, ...]

    def changes(self) -> list[Change]:
        """Return what the event changed."""
        return list(changes_between(self.before, self.after))


class Tally:
    """How many states a check has judged, and how many it could not."""

    def __init__(self) -> None:
        self.judged = 0
        self.skipped = 0

    def count(self, verdict: Verdict) -> Verdict:
        """Take one verdict into account, and return it."""
        if verdict == "skip":
            self.skipped += 1
        else:
            self.judged += 1
        return verdict

    def require_any(self) -> None:
        """Do nothing if a state was judged, or there was none.

        Raises:
            CodeFailed: If all of them were skipped.
        """
        if self.skipped and not self.judged:
            raise CodeFailed(
                f"the check could judge none of {self.skipped} states", "see what it says of one: exit 125 is no answer"
            )


class _Judged(NamedTuple):
    """An event and the subject that it changed, which is what it was before as well."""

    number: int
    line: bytes
    key: str | None
    before: bytes | None
    subject: Subject


def scan(timeline: Timeline, check: Check, *, good: int, bad: int, tally: Tally) -> Iterator[Flip]:
    """Yield the events of a stream after which a check answers otherwise, forward from version ``good`` up to ``bad``.

    What the check says at ``good`` is taken to be that all is well; beyond the stream's beginning it is asked.

    Raises:
        Usage: If the check fails at ``good``.
        CodeFailed: If the reducer or the check fails.
        Damaged: As soon as something does not verify.
    """
    _require_good(timeline, check, good)
    return _flips(_stream_steps(timeline, good, bad), check, tally)


def scan_view(view: ViewTimeline, check: Check, *, good: int, tally: Tally) -> Iterator[Flip]:
    """Yield the events after which a check of a view's rows answers otherwise, forward from position ``good``.

    It holds where all rows pass. See `scan`.
    """
    return _flips(_view_steps(view, check, good), check, tally)


def search(timeline: Timeline, check: Check, *, good: int, bad: int, tally: Tally) -> Flip | None:
    """Return the event that broke a stream, given that once the check fails it goes on failing; None if it holds at ``bad``.

    States are taken from snapshots where there are any, so that little is folded and the check seldom asked.

    Raises:
        Usage: If the check fails at ``good``.
        CodeFailed: If the reducer or the check fails.
        Damaged: As soon as something does not verify.
    """
    _require_good(timeline, check, good)
    asked: dict[int, Verdict] = {}

    def ask(version: int) -> Verdict:
        if version not in asked:
            asked[version] = tally.count(check.judge(_subject(timeline, version)))
        return asked[version]

    def first_judged(versions: Iterable[int]) -> int | None:
        return next((version for version in versions if ask(version) != "skip"), None)

    last = first_judged(range(bad, good, -1))
    if last is None or ask(last) == "good":
        return None
    while last - good > 1:
        middle = _middle(timeline.rungs, good, last)
        found = first_judged(chain(range(middle, last), range(middle - 1, good, -1)))
        if found is None:
            break
        if ask(found) == "good":
            good = found
        else:
            last = found
    before, after = timeline.state_at(last - 1), timeline.state_at(last)
    skipped = tuple(range(good + 1, last))
    return Flip(last, timeline.line_at(last), None, before, after, holds=False, skipped=skipped)


def _middle(rungs: list[int], good: int, bad: int) -> int:
    """Return a version between two, in the middle as far as a snapshot is there."""
    middle = (good + bad) // 2
    return min((rung for rung in rungs if good < rung < bad), key=lambda rung: abs(rung - middle), default=middle)


def _require_good(timeline: Timeline, check: Check, good: int) -> None:
    if good and check.judge(_subject(timeline, good)) == "bad":
        raise _not_good(f"{timeline.stream}@{good}")


def _not_good(where: str) -> Usage:
    return Usage(
        f"the check fails at {where} already", "name an earlier one with --good, or none, to search from the first"
    )


def _subject(timeline: Timeline, version: int) -> Subject:
    position = loads(timeline.line_at(version))["position"]
    return Subject(timeline.stream, timeline.text_at(version), version, position)


def _stream_steps(timeline: Timeline, good: int, bad: int) -> Iterator[_Judged]:
    before = timeline.text_at(good)
    for line, event, state in timeline.steps(good, bad):
        version = event["version"]
        text = to_json(StreamState(timeline.stream, version, state))
        yield _Judged(version, line, None, before, Subject(timeline.stream, text, version, event["position"]))
        before = text


def _view_steps(view: ViewTimeline, check: Check, good: int) -> Iterator[_Judged]:
    rows: dict[str, Subject] = {}
    is_past = good == 0
    for key, (line, event, row) in view.steps():
        position = event["position"]
        if not is_past and position > good:
            _require_good_rows(view.name, rows.values(), check, good)
            is_past = True
        text = None if row is MISSING else to_json(StreamState(key, event["version"], row))
        before = rows.pop(key).text if key in rows else None
        subject = Subject(key, text, event["version"], position)
        if text is not None:
            rows[key] = subject
        if is_past:
            yield _Judged(position, line, key, before, subject)


def _require_good_rows(name: str, rows: Iterable[Subject], check: Check, good: int) -> None:
    verdicts = [verdict for row in rows if (verdict := check.judge(row)) != "skip"]
    if verdicts[-1:] == ["bad"]:
        raise _not_good(f"position {good} of view {name}")


def _flips(steps: Iterator[_Judged], check: Check, tally: Tally) -> Iterator[Flip]:
    holds, skipped = True, list[int]()
    for number, line, key, before, subject in steps:
        verdict = tally.count(check.judge(subject))
        if verdict == "skip":
            skipped.append(number)
            continue
        if (verdict == "good") != holds:
            holds = not holds
            yield Flip(number, line, key, _thaw(before), _thaw(subject.text), holds, tuple(skipped))
        skipped.clear()


def _thaw(text: bytes | None) -> Json:
    return MISSING if text is None else loads(text)
