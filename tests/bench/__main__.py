"""Measure evcli beside its peers, and write RESULTS.md.

Without --only all figures are measured, or, if the last run was broken off, those that it has not come to. A run with
--quick, or of another size, writes its results into the directory where it measures.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.bench.figure import Figure
from tests.bench.figures.registry import all_figures
from tests.bench.measuring import measure
from tests.bench.peers.available import versions
from tests.bench.place import Bench, Sizes, Unfit
from tests.bench.report import named_sizes, overview_rows, read_causes, readme_part, with_part, write_report
from tests.bench.results import CAUSES, JSON, Results, load, save
from tests.bench.running import ROOT

FULL: Final = 10_000_000
QUICK: Final = 50_000
HERE: Final = Path(__file__).parent
REPORT: Final = "RESULTS.md"


def main() -> int:
    given = _parser().parse_args()
    figures = all_figures()
    if given.list:
        print_names(figures)
        return 0
    if given.readme:
        write_readme(figures)
        return 0
    unknown = set(given.only or ()) - {figure.name for figure in figures}
    if unknown:
        print(f"no figure is called {', '.join(sorted(unknown))}; see --list", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # servers are ended then too
    try:
        return run(given, figures)
    except Unfit as unfit:
        print(unfit, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("broken off; the same command goes on with the figures that are missing", file=sys.stderr)
        return 130


def print_names(figures: Sequence[Figure]) -> None:
    """Print what figures there are, and what each of them took the last time, in seconds."""
    sizes, before = named_sizes(Sizes.of(FULL)._asdict()), load(HERE / JSON)
    for figure in figures:
        measured = before.figures.get(figure.name) if before else None
        spent = f"{measured.seconds:.0f} s" if measured else "?"
        print(f"{figure.name:20} {spent:>6}  {figure.title.format(**sizes)}")


def write_readme(figures: Sequence[Figure]) -> None:
    """Write RESULTS.md anew from the raw numbers and the causes, and the README's table from it."""
    results = load(HERE / JSON)
    if results is None:
        raise SystemExit(f"there is no {HERE / JSON}: measure first")
    report, readme = write_report(results, figures, read_causes(CAUSES)), ROOT / "README.md"
    (HERE / REPORT).write_text(report)
    readme.write_text(with_part(readme.read_text(), readme_part(report)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, few runs: under a minute, to see that it works"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this figure anew (several times: these)"
    )
    parser.add_argument(
        "--events", type=int, metavar="N", help=f"the longest stream's; {FULL:,}, or {QUICK:,} with --quick"
    )
    default = os.environ.get("EVCLI_BENCH_DIR") or os.path.join(tempfile.gettempdir(), "evcli-bench")
    parser.add_argument("--dir", type=Path, default=Path(default), help="where; else EVCLI_BENCH_DIR, else %(default)s")
    parser.add_argument("--again", action="store_true", help="begin anew, whatever was measured before")
    parser.add_argument(
        "--readme",
        action="store_true",
        help="write RESULTS.md from results.json and causes.toml, and the README's table from it; measure nothing",
    )
    parser.add_argument("--list", action="store_true", help="name the figures, with what each took the last time")
    return parser


def run(given: argparse.Namespace, figures: Sequence[Figure]) -> int:
    """Measure what is to be measured, and write down each figure as soon as it is known.

    Raises:
        Unfit: If it cannot be measured there.
    """
    events = given.events or (QUICK if given.quick else FULL)
    bench = Bench(given.dir.resolve(), events, lambda what: print(f"  {what}", flush=True))
    folder = HERE if events == FULL and not given.quick else bench.folder
    begun = new_results(bench, quick=given.quick)
    before = load(folder / JSON)
    results, wanted = plan(begun, None if given.again else before, figures, given.only)
    start = time.monotonic()
    _write_down(folder, results, figures)
    for figure in wanted:
        print(f"{figure.name}:", flush=True)
        measured = measure(figure, bench, quick=given.quick)
        results = results._replace(figures=results.figures | {figure.name: measured})
        results = results._replace(finished=all(each.name in results.figures for each in figures))
        _write_down(folder, results, figures)
        for row in overview_rows(figure, measured, named_sizes(results.sizes)):
            print("  " + "; ".join(cell for cell in row if cell), flush=True)
        for name, why in measured.missing.items():
            print(f"  {name}: {why}", flush=True)
        print(f"  {measured.seconds:.1f} s", flush=True)
    bench.clear()
    print(f"{len(wanted)} figures in {time.monotonic() - start:.0f} s: {folder / REPORT}")
    print(f"the next run goes on with the stores in {bench.folder}; remove it if there will be none")
    return 0


def _write_down(folder: Path, results: Results, figures: Sequence[Figure]) -> None:
    save(folder / JSON, results)
    (folder / REPORT).write_text(write_report(results, figures, read_causes(CAUSES)))


def new_results(bench: Bench, *, quick: bool) -> Results:
    """Return results with nothing measured yet."""
    return Results(
        machine=machine.describe(bench.file_system),
        versions=versions(),
        code=machine.code_digest(),
        day=datetime.now(UTC).date().isoformat(),
        sizes=bench.sizes._asdict(),
        quick=quick,
        finished=False,
        figures={},
    )


def plan(
    begun: Results, before: Results | None, figures: Sequence[Figure], only: Sequence[str] | None
) -> tuple[Results, list[Figure]]:
    """Return the results to go on with, and the figures to measure.

    Raises:
        Unfit: If single figures are asked for, and the others are of another machine or size.
    """
    if before is not None and not begun.same_run(before):
        if only and not begun.quick:
            raise Unfit("the other results are of another machine or size: measure all of it, with --again")
        before = None
    if only:
        kept = begun._replace(figures=before.figures) if before else begun
        return kept, [figure for figure in figures if figure.name in only]
    if before is None or before.finished or before.code != begun.code:
        return begun, list(figures)
    return before, [figure for figure in figures if figure.name not in before.figures]


if __name__ == "__main__":
    sys.exit(main())
