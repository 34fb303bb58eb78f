"""RESULTS.md, made of the raw numbers; and the README's table, made of RESULTS.md."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.bench import texts
from tests.bench.figure import Figure, Limit, Measured, judge, quotients
from tests.bench.results import Results

BEGIN: Final = "<!-- figures: made by python -m tests.bench --readme -->\n"
END: Final = "<!-- end of figures -->\n"
OVERVIEW: Final = "## All figures\n"
NOT_MEASURED: Final = "not measured"
_HEADER: Final = ("figure", "evcli", "compared with", "ratio", "to reach", "reached")
_SAY_NOTHING: Final = ("fsync", "---", "writes nothing", "fdatasync")
_PREFACE: Final = """\
# What evcli takes, beside others

Written by `python -m tests.bench`, from the raw numbers in `results.json`; what is to be said of a missed limit stands in
`causes.toml`. Do not edit it here. Everybody is given the same events, of about 190 bytes as JSON; the sides of a figure
take turns; a value is the median of its runs, a ratio evcli's value divided by the other's, and behind it stand the
lowest and the highest ratio of any round. How often UmaDB, NATS and Redis sync was looked at with strace.
"""


def write_report(results: Results, figures: Sequence[Figure], causes: Mapping[str, str]) -> str:
    """Return the text of RESULTS.md."""
    sizes = named_sizes(results.sizes)
    rows = [row for figure in figures for row in overview_rows(figure, results.figures.get(figure.name), sizes)]
    parts = [_PREFACE, *_circumstances(results), f"{OVERVIEW}\n{texts.table(_HEADER, rows)}", "## One by one\n"]
    for figure in figures:
        parts += _section(figure, results.figures.get(figure.name), sizes, causes.get(figure.name), quick=results.quick)
    if causes.get("notes"):
        parts += ["## Notes\n", causes["notes"].strip() + "\n"]
    return "\n".join(parts)


def read_causes(path: Path) -> dict[str, str]:
    """Read what is to be said of missed limits."""
    return {name: str(text) for name, text in tomllib.loads(path.read_text()).items()}


def named_sizes(sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the sizes as titles name them."""
    return {name: f"{size:,}" for name, size in sizes.items()} | {"quarter": f"{sizes['bulk'] // 4:,}"}


def overview_rows(figure: Figure, measured: Measured | None, sizes: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each of a figure's limits."""
    for limit in figure.limits:
        sides = measured.sides if measured else {}
        verdict = judge(limit, sides)
        ours, theirs = sides.get(limit.side), sides.get(limit.against or "")
        title = figure.title.format(**sizes)
        compared = limit.against or ("" if not limit.worst else "the slowest of all runs")
        if theirs:
            compared += f": {texts.amount(theirs.median, figure.unit)}"
        yield (
            f"{title} ({limit.side})" if len(figure.limits) > 1 and _of_several_sides(figure) else title,
            texts.amount(ours.median, figure.unit) if ours else NOT_MEASURED,
            compared,
            _ratio(limit, verdict is not None and texts.value(limit, verdict, figure.unit)),
            texts.bound(limit, figure.unit),
            "" if verdict is None else "yes" if verdict.kept else "no",
        )


def _of_several_sides(figure: Figure) -> bool:
    return len({limit.side for limit in figure.limits}) > 1


def _ratio(limit: Limit, value: str | bool) -> str:  # noqa: FBT001 (False: there is none)
    return value if isinstance(value, str) and (limit.against is not None or limit.worst) else ""


def _circumstances(results: Results) -> Iterator[str]:
    quick = " A quick run: too few of them to rest anything on." if results.quick else ""
    unfinished = "" if results.finished else " Not all figures are measured yet."
    yield f"{_machine_line(results)}\n"
    minutes = sum(measured.seconds for measured in results.figures.values()) / 60
    yield f"Begun on {results.day}; {minutes:.0f} minutes in all.{quick}{unfinished}\n"
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in results.versions.items())}.\n"


def _machine_line(results: Results) -> str:
    machine = results.machine
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory']} of memory,"
        f" {machine['file system']}, {machine['kernel']}, Python {results.versions['Python']}."
    )


def _section(
    figure: Figure, measured: Measured | None, sizes: Mapping[str, str], cause: str | None, *, quick: bool
) -> Iterator[str]:
    yield f"### {figure.name}: {figure.title.format(**sizes)}\n"
    yield f"{figure.how.format(**sizes)}\n"
    if measured is None:
        yield f"{NOT_MEASURED.capitalize()} yet.\n"
        return
    yield _side_table(figure, measured)
    told = [f"{name}: {why}" for name, why in measured.missing.items()]
    if told:
        yield "Not measured: " + "; ".join(told) + ".\n"
    lines, missed = [], []
    for limit in figure.limits:
        verdict = judge(limit, measured.sides)
        if verdict is None:
            continue
        reached = texts.value(limit, verdict, figure.unit)
        of = f" {limit.against}" if limit.against else ""
        spread = texts.spread(limit, verdict, figure.unit)
        result = "reached" if verdict.kept else "missed"
        line = f"- {limit.side}: {reached}{of} ({spread}). {texts.bound(limit, figure.unit)} is {result}."
        missed += [] if verdict.kept else [limit]
        lines.append(line)
    if lines:
        yield "\n".join(lines) + "\n"
    if cause or (missed and not quick):
        yield f"**Cause**: {cause.strip() if cause else 'not found out yet; it belongs into causes.toml.'}\n"
    yield f"This took {measured.seconds:.0f} s, with evcli at commit {measured.commit}.\n"


def _side_table(figure: Figure, measured: Measured) -> str:
    first = figure.limits[0].side
    ours = measured.sides.get(first)
    rows = []
    for name, values in measured.sides.items():
        lowest, highest = min(values.runs), max(values.runs)
        rows.append(
            (
                name,
                texts.amount(values.median, figure.unit),
                f"{texts.amount(lowest, figure.unit)} to {texts.amount(highest, figure.unit)}",
                str(len(values.runs)),
                _times(ours.median, values.median) if ours and name != first else "",
                values.policy,
            )
        )
    return texts.table(("side", "median", "lowest to highest", "runs", f"{first} is", "fsync"), rows)


def _times(ours: float, theirs: float) -> str:
    return f"{quotients([ours], [theirs])[0]:.2f} × this" if theirs else ""


def readme_part(report: str) -> str:
    """Return what the README says of speed, taken from the text of RESULTS.md, its marks included."""
    overview = report.partition(OVERVIEW)[2].partition("\n## ")[0].strip()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in overview.splitlines()[2:]]
    measured = [row for row in rows if row[1] != NOT_MEASURED]
    if not measured:
        return f"{BEGIN}Nothing has been measured yet.\n{END}"
    compared = [row[2].partition(":")[0] for row in measured if ":" in row[2]]
    machine = next(line for line in report.splitlines() if line.startswith("Measured on "))
    quick = " In a quick run: too few of them to rest anything on." if "A quick run" in report else ""
    shown = texts.table(_HEADER, measured)
    return f"{BEGIN}{shown}\n{machine}{quick} Durability: {policies(report, compared)}.\n{END}"


def policies(report: str, compared: Sequence[str]) -> str:
    """Return what evcli and those that it is ``compared`` with sync, from the tables of RESULTS.md."""
    found: dict[str, list[str]] = {}
    for line in report.partition("## One by one")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 6 or cells[5] in _SAY_NOTHING or not cells[0].startswith(("evcli", *compared)):
            continue
        names = found.setdefault(cells[5], [])
        name = cells[0].partition(",")[0].partition(" --")[0]
        names += [] if name in names else [name]
    return "; ".join(f"{', '.join(names)}: {policy}" for policy, names in found.items())


def with_part(document: str, part: str) -> str:
    """Return a document with what stands between the marks replaced.

    Raises:
        ValueError: If it has no marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the README has no place for the figures: it needs the two marks of tests/bench/report.py")
    return before + part + after
