"""The past of a long stream: state as of any moment, and the bytes read for it."""

import json
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from evcli.storage.lines import seal_in
from tests.bench.figure import Figure, Runs, Side, at_most
from tests.bench.figures.one_call import NOTHING
from tests.bench.peers.available import without_program
from tests.bench.place import STREAM, Bench, Setting, evcli
from tests.bench.running import SideFailed, printed, timed

UNTIL: Final = "evcli query state --until T"
BEYOND: Final = "bytes that the fold reads beyond T's commit"
_READ: Final = re.compile(r"pread(?:64|v)\(.*, \d+, (\d+)\) *= (\d+)$")
_READ_NOTHING: Final = re.compile(r"read[v64]*\(.*\) *= 0$")


def query_sides(bench: Bench) -> Sequence[Side]:
    """Each run asks for another moment; the same ones every time that all is measured anew."""
    setting = bench.store(bench.sizes.long)
    timed([evcli(), "query", "state", STREAM], setting.env)
    rng = random.Random(8)

    def measure() -> float:
        moment = time_at(setting, rng.random())
        return timed([evcli(), "query", "state", STREAM, "--until", moment], setting.env)

    return [Side(UNTIL, NOTHING, measure), Side("evcli query state", NOTHING, lambda: now(setting))]


def now(setting: Setting) -> float:
    return timed([evcli(), "query", "state", STREAM], setting.env)


def time_at(setting: Setting, part: float) -> str:
    """Return the time of the event that stands that far (0 to 1) into the stream's file."""
    with setting.stream_file.open("rb") as file:
        file.seek(int(part * (setting.stream_file.stat().st_size - 4096)))
        file.readline()
        moment: str = json.loads(file.readline())["time"]
        return moment


def bytes_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(bench.sizes.long)
    moment = time_at(setting, 0.01)

    def reads() -> list[tuple[int, int]]:
        trace = bench.scratch / "trace"
        tracing = [shutil.which("strace") or "strace", "-f", "-y", "-e", "trace=read,readv,pread64,preadv,preadv2,mmap"]
        command = [evcli(), "replay", STREAM, "--reducer", "count", "--until", moment]
        printed([*tracing, "-o", str(trace), *command], setting.env)
        return list(reads_of(trace, setting.stream_file))

    def beyond() -> float:
        end = end_of(setting, moment)
        return float(sum(max(0, offset + count - max(offset, end)) for offset, count in split(reads(), end)[1]))

    def looked_at() -> float:
        return float(sum(count for _, count in split(reads(), end_of(setting, moment))[0]))

    missing = without_program("strace")
    return [
        Side(BEYOND, NOTHING, beyond, missing),
        Side("bytes that the search for T looks at", NOTHING, looked_at, missing),
        Side("the stream up to the end of T's commit", NOTHING, lambda: float(end_of(setting, moment))),
        Side("the whole stream", NOTHING, lambda: float(setting.stream_file.stat().st_size)),
    ]


def reads_of(trace: Path, file: Path) -> Iterator[tuple[int, int]]:
    """Yield the offset and the length of each read of a file that strace saw (``-y``).

    Raises:
        SideFailed: If it was read in a way that does not tell where.
    """
    with trace.open(errors="replace") as seen:
        for call in seen:
            if f"<{file}>" not in call:
                continue
            if _READ_NOTHING.search(call.rstrip()):
                continue
            found = _READ.search(call.rstrip())
            if found is None:
                raise SideFailed(f"it cannot be told which bytes this reads: {call.strip()[-200:]}")
            yield int(found[1]), int(found[2])


def split(reads: Sequence[tuple[int, int]], end: int) -> tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]:
    """Split reads into those of the search and those of the fold, which goes from the first byte on and is the last.

    Whatever is read once the fold has begun is the fold's.

    Raises:
        SideFailed: If the fold has not read each byte up to ``end``.
    """
    first = max((number for number, (offset, _) in enumerate(reads) if offset == 0), default=len(reads))
    at = 0
    for offset, count in reads[first:]:
        at = max(at, offset + count) if offset <= at else at
    if at < end:
        raise SideFailed(f"the fold is not to be told from the search: it read {at} bytes in one go, of {end}")
    return reads[:first], reads[first:]


def end_of(setting: Setting, moment: str) -> int:
    """Return where the commit of the last event up to a moment ends, looking at every line up to there."""
    at = 0
    wanted = f'"time":"{moment}"'.encode()
    sealed = True
    with setting.stream_file.open("rb") as file:
        for line in file:
            stands = line.index(b'"time":')
            if sealed and line[stands : stands + len(wanted)] > wanted:
                break
            at += len(line)
            sealed = seal_in(line[:-1]) is not None
    return at


FIGURES: Final = (
    Figure(
        "query-until",
        "`query state --until T` with a warm ladder, {long} events, any T",
        "The ladder is what the first `query state` left. Each run has another T, at random over the whole stream; the slowest counts.",
        "seconds",
        (at_most(0.3, UNTIL, worst=True),),
        query_sides,
        Runs(full=25, quick=5),
        900.0,
    ),
    Figure(
        "replay-until-bytes",
        "`replay --until T` folds without a byte beyond T's commit",
        "T is a hundredth into the stream of {long} events; every read of the stream's file, seen by strace. The search for"
        " T comes first, has to look beyond it, and is told apart: the fold is what begins with the file's first byte.",
        "bytes",
        (at_most(0, BEYOND),),
        bytes_sides,
        Runs(full=1, quick=1),
    ),
)
