"""Finding the first event after which a fold comes out otherwise in other surroundings, or a command that does."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from evcli.determinism.child import LOST
from evcli.determinism.children import Child
from evcli.determinism.surroundings import AS_IT_IS, OTHERS, has_faketime, installed_locales
from evcli.domain.differences import Difference, first_difference
from evcli.domain.events import Event, place_of
from evcli.domain.pointers import MISSING
from evcli.domain.values import Json
from evcli.errors import CodeFailed
from evcli.project.choosing import Choice
from evcli.specs.model import Spec
from evcli.storage.codec import canonical, dump, loads
from evcli.storage.snapshots import Snapshot

_PLACES: Final = 64
_CUTS: Final = 64
_PROGRAM_CUTS: Final = 16
_FAILED: Final = "failed"
_CACHED: Final = "in the cached snapshot"
_LONGEST_SHOWN: Final = 200

LinesTo = Callable[[int], Iterable[Sequence[bytes]]]
"""Yields a stream's stored lines up to and including a version, in parts."""


class History(NamedTuple):
    """A stream's events to fold: up to ``version``.

    ``decides`` is whether the states are those that a decider decides on; ``by_program`` whether a program makes them.
    """

    stream: str
    version: int
    lines_to: LinesTo
    decides: bool = False
    by_program: bool = False


class Finding(NamedTuple):
    """What came out otherwise: after which event (None: a command), in what surroundings, where, and both values.

    The values are texts for people: JSON, or Python's words for what is lost in JSON. ``pointer`` is None where the two
    did not differ again when they were looked at.
    """

    event: Event | None
    how: str
    pointer: str | None
    one: str
    other: str

    def as_json(self) -> dict[str, Any]:
        """Return what was found as it is printed for programs."""
        found: dict[str, Any] = {"event": place_of(self.event), "type": self.event["type"]} if self.event else {}
        return found | {"how": self.how, "path": self.pointer, "values": [self.one, self.other]}

    def __str__(self) -> str:
        what = "what the command comes to"
        if self.event:
            what = f"after {place_of(self.event)} ({self.event['type']}) the state"
        if self.pointer is None:
            return f"{what} {self.how} is another, but not so again: it is by chance, or by what was folded before"
        at = f" has at {self.pointer}" if self.pointer else " is"
        return f"{what}{at} {self.one}; {self.how}: {self.other}"


class Comparison:
    """Processes in different surroundings that are given the same to fold and decide.

    Args:
        choice: What folds and decides.
        programs: Whether some of that are programs, whose clock only faketime(1) can shift.
    """

    def __init__(self, choice: Choice, *, programs: bool) -> None:
        self._choice = choice
        self._faketime = programs and has_faketime()

    def __enter__(self) -> Self:
        locales = installed_locales()
        with ExitStack() as opening:
            self._children = [
                opening.enter_context(Child(each, self._choice, locales=locales, faketime=self._faketime))
                for each in (AS_IT_IS, *OTHERS)
            ]
            self._closing = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def check_history(self, history: History, cached: Iterable[Snapshot] = ()) -> Finding | None:
        """Return the first event after which a fold comes out otherwise; None if none does.

        Args:
            history: The events.
            cached: Snapshots of the states, which are compared too.

        Raises:
            CodeFailed: If the fold fails as it is.
        """
        if not history.version:
            return None
        found = [self._check_cached(history, cached)]
        found += [self._search(history, child, bad) for child, bad in self._first_look(history)]
        findings = [finding for finding in found if finding is not None]
        return min(findings, key=lambda finding: finding.event["version"] if finding.event else 0, default=None)

    def check_decision(self, spec: Spec, *, timeout: float | None) -> Finding | None:
        """Return what a spec's command comes to otherwise; None if it comes to the same."""
        for child in self._children:
            child.tell({"job": "decide", "spec": spec.members, "place": spec.place, "timeout": timeout})
        plain, *others = [child.answer()["actual"] for child in self._children]
        for other, surroundings in zip(others, OTHERS, strict=True):
            if (difference := first_difference(plain, other)) is not None:
                return _finding(None, surroundings.how, difference)
        return None

    def _first_look(self, history: History) -> list[tuple[Child, tuple[int, int]]]:
        """Fold with all, and return those that come out otherwise: after the first version, and up to the second."""
        places = [history.version] if history.by_program else _spaced(0, history.version, _PLACES)
        answers = self._fold(history, places, self._children, afresh=False)
        plain, *others = answers
        return [
            (child, ([0, *places][first], places[first]))
            for child, other in zip(self._children[1:], others, strict=True)
            if (first := _first_unlike(plain, other)) is not None
        ]

    def _search(self, history: History, child: Child, between: tuple[int, int]) -> Finding:
        """Find the first event after which a child comes out otherwise: it does at the end, and not at the beginning."""
        good, bad = between
        pair = (self._children[0], child)
        while bad - good > 1:
            places = _spaced(good, bad, 2 if history.by_program else _PLACES)[:-1]
            plain, other = self._fold(history, places, pair)
            first = _first_unlike(plain, other)
            good, bad = (places[-1], bad) if first is None else ([good, *places][first], places[first])
        plain, other = self._fold(history, [bad], pair, states=True)
        event, how = _event_at(history, bad), child.surroundings.how
        if other["error"] is not None:
            return Finding(event, how, "", "there", f"it fails: {other['error']['message']}")
        one, two = plain["states"][0], other["states"][0]
        if other["digests"] == [LOST]:
            pointer, in_python, in_json = two
            return Finding(event, "as JSON, which snapshots are", pointer, in_python, in_json)
        return _finding(event, how, first_difference(one, two))

    def _check_cached(self, history: History, cached: Iterable[Snapshot]) -> Finding | None:
        known = {each.bookmark.version: each.text for each in cached if each.bookmark.version <= history.version}
        places = sorted(known)
        if not places:
            return None
        child = self._children[0]
        (plain,) = self._fold(history, places, [child])
        for version, digest in zip(places, plain["digests"], strict=True):
            kept = loads(known[version])
            if sha256(canonical(kept)).hexdigest() != digest:
                (again,) = self._fold(history, [version], [child], states=True)
                return _finding(_event_at(history, version), _CACHED, first_difference(again["states"][0], kept))
        return None

    def _fold(
        self,
        history: History,
        places: Sequence[int],
        children: Sequence[Child],
        *,
        afresh: bool = True,
        states: bool = False,
    ) -> list[dict[str, Any]]:
        """Have the events folded up to the last of ``places``; the first of the children is the one as it is.

        Code is loaded ``afresh`` where the same events have been folded before, or it would remember them.
        """
        cuts = _spaced(0, history.version, _PROGRAM_CUTS if history.by_program else _CUTS)
        last = places[-1]
        for child in children:
            job = {"job": "fold", "stream": history.stream, "decides": history.decides, "places": places}
            job["cuts"] = [cut for cut in cuts if cut <= last] if child.surroundings.resumes else []
            child.tell(job | {"afresh": afresh, "states": states})
        for lines in history.lines_to(last):
            for child in children:
                child.send(lines)
        for child in children:
            child.send([b""])
        answers = [child.answer() for child in children]
        if (error := answers[0]["error"]) is not None:
            raise CodeFailed(error["message"], error["hint"], **error["facts"])
        return answers


def _spaced(after: int, to: int, most: int) -> list[int]:
    """Return versions above ``after`` up to and including ``to``, all or ``most`` of them, evenly spaced."""
    count = min(most, to - after)
    return [after + (to - after) * n // count for n in range(1, count + 1)]


def _first_unlike(one: dict[str, Any], other: dict[str, Any]) -> int | None:
    """Return the first place of two answers that is unlike; what failed gave no more digests."""
    digests = other["digests"] + [_FAILED] * (len(one["digests"]) - len(other["digests"]))
    return next((n for n, pair in enumerate(zip(one["digests"], digests, strict=True)) if pair[0] != pair[1]), None)


def _event_at(history: History, version: int) -> Event:
    last = b""
    for lines in history.lines_to(version):
        last = lines[-1]
    event: Event = loads(last)
    return event


def _finding(event: Event | None, how: str, difference: Difference | None) -> Finding:
    if difference is None:
        return Finding(event, how, None, "", "")
    return Finding(event, how, difference.pointer, _shown(difference.one), _shown(difference.other))


def _shown(value: Json) -> str:
    text = "nothing" if value is MISSING else dump(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
