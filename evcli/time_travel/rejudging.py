"""Judging recorded commands again, in a history that is supposed to be another: which of them would now be rejected."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from evcli.domain.commands import Command, Decider, read_decision, recorded_command
from evcli.domain.events import Event
from evcli.domain.reducers import Reducer
from evcli.domain.values import Json, copy_json, same_json
from evcli.errors import EvcliError, Rejected
from evcli.storage.codec import encode_value


class Judged(NamedTuple):
    """A recorded command that would come to something else: ``version`` is that of its first event.

    ``outcome`` is ``rejected``, ``otherwise`` (other events would follow) or ``failed`` (the decider, on it);
    ``reason`` says more.
    """

    version: int
    command: str
    outcome: str
    reason: str


def commits_by_version(events: Iterable[Event]) -> dict[int, int]:
    """Return for each event that follows from a command of its own stream the version of its commit's first event."""
    found: dict[int, int] = {}
    first: int | None = None
    begins = True
    for event in events:
        command = recorded_command(event) if begins else None
        if command is not None and command.get("stream", event["stream"]) == event["stream"]:
            first = event["version"]
        if first is not None:
            found[event["version"]] = first
        begins = "seal" in event
        if begins:
            first = None
    return found


class Rejudging:
    """Judges the commands recorded in a history again, each in the state that it would meet there.

    Args:
        decider: What judges.
        reducer: What the states that it decides on are made by.
        commits: The versions of events that follow from commands, and that of their commit's first: `commits_by_version`.
        changed: The versions of events that are supposed to be others than they are; of them nothing else is expected.
        timeout: Seconds that the decider may take for each; None for any.

    ``found`` are the commands that came to something else, as far as the history was gone through.
    """

    def __init__(
        self,
        decider: Decider,
        reducer: Reducer,
        *,
        commits: dict[int, int],
        changed: Collection[int],
        timeout: float | None,
    ) -> None:
        self._decider = decider
        self._reducer = reducer
        self._commits = commits
        self._sizes = Counter(commits.values())
        self._changed = changed
        self._timeout = timeout
        self.found: list[Judged] = []

    def events(self, history: Iterable[Event]) -> Iterator[Event]:
        """Yield the events of a supposed history that would still happen.

        Those of a command that would be rejected are left out. What would be accepted stays as it is recorded, though
        other events might follow, which is told.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
        """
        state = self._reducer.initial()
        for is_commit, group in _grouped(history, self._commits):
            recorded = recorded_command(group[0]) if is_commit else None
            if recorded is None or self._accepts(recorded, group, state):
                state = self._reducer.fold(state, [copy_json(event) for event in group])  # another fold meets them too
                yield from group

    def _accepts(self, recorded: dict[str, Any], group: list[Event], state: Json) -> bool:
        """Judge a command again, and return whether it would not be rejected."""
        version, stream, outcome, reason = group[0]["version"], group[0]["stream"], "", ""
        command = Command(stream, recorded["type"], recorded["data"], encode_value(recorded["data"]))
        try:
            returned = self._decider.decide(command, copy_json(state), timeout=self._timeout)
            now = read_decision(returned, stream).events.get(stream, [])
            if self._is_as_stored(group) and not _are_same(now, group):
                outcome, reason = "otherwise", ", ".join(str(event["type"]) for event in now) or "nothing"
        except Rejected as rejected:
            outcome, reason = "rejected", rejected.reason
        except (EvcliError, ValueError) as error:
            outcome, reason = "failed", str(error)
        if outcome:
            self.found.append(Judged(version, command.type, outcome, reason))
        return outcome != "rejected"

    def _is_as_stored(self, group: list[Event]) -> bool:
        versions = [event["version"] for event in group]
        return len(group) == self._sizes[versions[0]] and not any(version in self._changed for version in versions)


def _grouped(events: Iterable[Event], commits: dict[int, int]) -> Iterator[tuple[bool, list[Event]]]:
    """Gather the events of a command's commit; all others come one by one, also what was put in between."""
    group: list[Event] = []
    current = before = 0
    for event in events:
        version = event["version"]
        first = commits.get(version, 0) if version > before else 0  # what is put in has the version before it
        if group and first != current:
            yield True, group
            group = []
        if first:
            group.append(event)
        else:
            yield False, [event]
        current, before = first, version
    if group:
        yield True, group


def _are_same(now: list[dict[str, Any]], recorded: list[Event]) -> bool:
    told = [(event["type"], event["data"]) for event in recorded]
    return len(now) == len(told) and all(
        event["type"] == kind and same_json(event.get("data", {}), data)
        for event, (kind, data) in zip(now, told, strict=True)
    )
