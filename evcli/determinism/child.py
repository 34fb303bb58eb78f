"""The process that folds and decides in given surroundings, and prints digests; started by `evcli.determinism.children`.

On standard input comes one line that says in what, then jobs, a JSON object each; a job to fold is followed by stored
event lines, and an empty line. Each job is answered by one line.
"""

import os
import signal
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO, Final

from evcli.determinism.shifting import shift_clock
from evcli.domain.reducers import Reducer, ReducerDefinition
from evcli.domain.values import Json
from evcli.errors import EvcliError
from evcli.project.choosing import Choice
from evcli.replay import StreamState, to_json
from evcli.specs.model import Place, read_spec
from evcli.specs.running import actual_of, definition_of, play
from evcli.storage.codec import canonical, dump, freeze, loads

LOST: Final = "lost in JSON"
"""Stands for the digest of a state that JSON does not give back as it was."""


def main() -> None:
    """Answer jobs until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)  # what the user's code reads and prints is no part of the talk
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    start = loads(asked.readline())
    if start["shift"]:
        shift_clock(start["shift"])
    working = _Working(Choice(**start["choice"]), resumes=start["resumes"])
    while line := asked.readline():
        job = loads(line)
        answer = working.decide(job) if job["job"] == "decide" else working.fold(job, asked)
        answers.write(dump(answer) + b"\n")
        answers.flush()


class _Working:
    """Does the jobs: with code that is loaded once, or afresh each time."""

    def __init__(self, choice: Choice, *, resumes: bool) -> None:
        self._choice = choice
        self._chosen = choice.load()
        self._resumes = resumes

    def decide(self, job: dict[str, Any]) -> dict[str, Any]:
        """Play a spec, and return what came of its command."""
        spec = read_spec(job["spec"], Place(*job["place"]))
        chosen = self._choice.load() if self._resumes else self._chosen
        ran = play(spec, chosen, timeout=job["timeout"], through_json=self._resumes)
        return {"actual": actual_of(ran)}

    def fold(self, job: dict[str, Any], asked: BinaryIO) -> dict[str, Any]:
        """Fold what comes, and return the digest at each of the job's ``places``, or the state where it wants it."""
        found: dict[str, Any] = {"digests": [], "states": [], "error": None}
        lines = _lines(asked)
        try:
            self._fold(job, lines, found)
        except EvcliError as error:
            found["error"] = {"message": error.message, "hint": error.hint, "facts": error.facts}
        for _ in lines:  # what is not folded any more
            pass
        return found

    def _fold(self, job: dict[str, Any], lines: Iterator[bytes], found: dict[str, Any]) -> None:
        places, cuts = set(job["places"]), set(job["cuts"])
        stops = sorted(places | cuts)
        reducer = self._reducer(job)
        state, version = reducer.initial(), 0
        for stop in stops:
            state = reducer.fold(state, map(loads, islice(lines, stop - version)))
            version = stop
            text = to_json(StreamState(job["stream"], version, state))
            back = loads(text)
            lost = self._resumes and freeze(state) is None
            if stop in places:
                found["digests"].append(LOST if lost else sha256(canonical(back)).hexdigest())
                if job["states"]:
                    found["states"].append(_lost(state, back, "") if lost else back)
            if stop in cuts:
                state, reducer = back, self._reducer(job)

    def _reducer(self, job: dict[str, Any]) -> Reducer:
        chosen = self._choice.load() if self._resumes or job["afresh"] else self._chosen
        definition: ReducerDefinition = (
            definition_of(job["stream"], chosen) if job["decides"] else chosen.definition_for(job["stream"])
        )
        return definition.load()


def _lines(asked: BinaryIO) -> Iterator[bytes]:
    while (line := asked.readline()) not in (b"\n", b""):
        yield line


def _lost(value: Any, back: Json, pointer: str) -> list[str] | None:  # noqa: ANN401 (what should be JSON)
    """Return the first place that JSON does not give back as it was, and both values in Python's words."""
    if isinstance(value, dict) and isinstance(back, dict):
        for key, member in value.items():
            if type(key) is not str:
                return [pointer, f"the key {key!r}", f"the key {next(iter(loads(dump({key: 0}))))!r}"]
            if found := _lost(member, back.get(key), f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"):
                return found
    elif type(value) is list and isinstance(back, list):
        for n, (member, other) in enumerate(zip(value, back, strict=False)):
            if found := _lost(member, other, f"{pointer}/{n}"):
                return found
    elif type(value) is not type(back) or value != back:
        return [pointer, repr(value), repr(back)]
    return None
