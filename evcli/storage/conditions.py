"""Checking conditions against a store: only what can match is read, and only from their place on."""

from collections.abc import Iterable, Iterator, Sequence

from evcli.domain.conditions import Condition, compile_condition, compile_prefilter
from evcli.domain.names import folder_of_pattern, is_pattern, select_by
from evcli.errors import ConditionNotMet, Usage
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore


def require_none(store: EventStore, conditions: Sequence[Condition], *, end: int) -> None:
    """Do nothing if no event up to position ``end`` is of a kind that must not be there.

    Raises:
        ConditionNotMet: If one is.
        Usage: If a condition's place lies beyond the end: then it is another store's.
    """
    for condition in conditions:
        if condition.after > end:
            raise Usage(f"there is no position {condition.after}", f"the store ends at {end}")
        may_match, matches = compile_prefilter(condition), compile_condition(condition)
        for line in _lines(store, condition, end) if end else ():
            if may_match(line) and matches(event := loads(line)):
                raise ConditionNotMet(event["stream"], event["version"], event["position"], str(condition))


def _lines(store: EventStore, condition: Condition, end: int) -> Iterator[bytes]:
    """Yield the lines of the streams concerned: from a place on by the journal, else each stream by itself."""
    wanted = select_by([condition.streams])
    if condition.after:
        for lines in store.read_all(end=end, after=condition.after, wanted=wanted):
            yield from lines
        return
    streams: Iterable[str] = (condition.streams,)
    if is_pattern(condition.streams):
        streams = filter(wanted, store.streams(below=folder_of_pattern(condition.streams)))
    for stream in streams:
        for chunk in store.read_stream(stream, end=end):
            yield from chunk.lines
