"""A long stream printed into a pipe."""

import shutil
from collections.abc import Sequence
from typing import Final

from tests.bench.figure import Figure, Runs, Side, at_least
from tests.bench.figures.one_call import NOTHING
from tests.bench.place import STREAM, Bench, evcli
from tests.bench.running import timed

LOG: Final = "evcli log S"
CAT: Final = "cat of its file"


def sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(bench.sizes.long)
    size = setting.stream_file.stat().st_size

    def into_pipe(*command: str) -> float:
        return size / timed(["sh", "-c", '"$@" | cat >/dev/null', "sh", *command], setting.env)

    return [
        Side(LOG, NOTHING, lambda: into_pipe(evcli(), "log", STREAM)),
        Side(CAT, NOTHING, lambda: into_pipe(shutil.which("cat") or "cat", str(setting.stream_file))),
    ]


FIGURES: Final = (
    Figure(
        "log",
        "`log S` of a long stream into a pipe",
        "A stream of {long} events, verified while it is read, into `cat >/dev/null`; whole processes, the file in the page cache.",
        "bytes/s",
        (at_least(0.5, LOG, of=CAT),),
        sides,
        Runs(full=3, quick=2),
        120.0,
    ),
)
