"""The bench's arithmetic and its reports, with numbers that are made up; it is itself run by hand: python -m tests.bench."""

import doctest
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench import __main__ as bench
from tests.bench import events, figure, measuring, texts
from tests.bench.events import line, lines
from tests.bench.figure import Figure, Limit, Measured, Runs, Side, Values, at_least, at_most, judge
from tests.bench.figures.moments import reads_of, split
from tests.bench.figures.registry import all_figures
from tests.bench.measuring import measure
from tests.bench.place import Sizes, Unfit, require_disk
from tests.bench.report import named_sizes, read_causes, readme_part, with_part, write_report
from tests.bench.results import CAUSES, Results, load, save
from tests.bench.running import ROOT, SideFailed

HERE = ROOT / "tests/bench"
UMADB = "UmaDB, 1,000 events at a time"
# The issue's table, row by row: the figure, and what is to be reached.
TO_REACH = {
    "one evcli append": ("append", 2.0, "a console script that returns at once"),
    "one evcli query state": ("query-state", 2.0, "a console script that returns at once"),
    "one evcli query get": ("query-get", 2.0, "a console script that returns at once"),
    "append, 10 against 10,000,000": ("flat-append", 1.1, "on the short stream"),
    "query state, 10 against 10,000,000": ("flat-query-state", 1.1, "on the short stream"),
    "query get, 10 against 10,000,000": ("flat-query-get", 1.1, "on the short stream"),
    "coprocess": ("coprocess", 1.5, "UmaDB, one event at a time"),
    "bulk append": ("bulk", 1.3, UMADB),
    "bulk append, eventsourcing": ("bulk", 3.0, "eventsourcing/SQLite, 1,000 events at a time"),
    "bulk append, 350,000 where UmaDB does 255,000": ("bulk", 1.37, UMADB),
    "cold replay, jq": ("replay", 4.0, "jq reduce"),
    "cold replay, eventsourcing": ("replay", 3.0, "eventsourcing/SQLite"),
    "cold replay, orjson": ("replay", 0.6, "orjson.loads of each line, nothing else"),
    "1 of 5 types": ("replay-types", 2.0, "evcli replay, it does not"),
    "replay '**', 2 cores": ("replay-cores", 1.7, "with 1 core"),
    "query state --until T": ("query-until", 0.3, None),
    "replay --until T": ("replay-until-bytes", 0, None),
    "rebuild": ("rebuild", 200_000, None),
    "catching up": ("catch-up", 1.2, "a view of 1,000 rows"),
    "log into a pipe": ("log", 0.5, "cat of its file"),
    "memory of append": ("memory-append", 64_000_000, None),
    "memory of append --atomic": ("memory-atomic", 1.0, "64 MB and the commit"),
    "memory of replay": ("memory-replay", 64_000_000, None),
    "memory of rebuild": ("memory-rebuild", 64_000_000, None),
    "--help": ("help", 8.0, "python -c pass"),
}


def values(*runs: float, policy: str = "writes nothing") -> Values:
    return Values(policy, list(runs))


def figure_of(*sides: Side, limits: tuple[Limit, ...] = (), name: str = "race", full: int = 3) -> Figure:
    return Figure(
        name, "a race over {long} events", "As fast as they can.", "seconds", limits, lambda _: sides, Runs(full, 1)
    )


def results_of(figures: dict[str, Measured], **changes: Any) -> Results:
    machine = {"processor": "a CPU", "cores": "2", "memory": "8 GiB", "file system": "ext4", "kernel": "Linux 6"}
    found = Results(
        machine, {"Python": "3.11.7"}, "c0de", "2026-11-26", Sizes.of(10_000_000)._asdict(), False, True, figures
    )
    return found._replace(**changes)


def measure_quickly(which: Figure) -> Measured:
    return measure(which, cast("Any", None), quick=False)


@pytest.mark.parametrize("module", [events, figure, measuring, texts])
def test_the_examples_in_the_docstrings_are_right(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("row", TO_REACH)
def test_every_row_of_the_issues_table_has_its_figure(row: str) -> None:
    name, bound, against = TO_REACH[row]
    [found] = [figure for figure in all_figures() if figure.name == name]
    assert (bound, against) in [(limit.bound, limit.against) for limit in found.limits]


def test_figures_have_names_of_their_own_and_titles_for_any_size() -> None:
    figures = all_figures()
    assert len({figure.name for figure in figures}) == len(figures)
    for each in figures:
        assert "{" not in (each.title + each.how).format(**named_sizes(Sizes.of(100)._asdict()))


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    sides = {"ours": values(2.0, 9.0, 4.0), "theirs": values(1.0, 3.0, 8.0)}
    verdict = judge(at_most(1.4, "ours", of="theirs"), sides)
    assert verdict == (4.0 / 3.0, 0.5, 3.0, True)
    assert judge(at_least(1.4, "ours", of="theirs"), sides) == (4.0 / 3.0, 0.5, 3.0, False)


def test_a_limit_may_be_held_against_the_worst_run() -> None:
    sides = {"ours": values(0.1, 0.2, 0.4)}
    assert judge(at_most(0.3, "ours"), sides) == (0.2, 0.1, 0.4, True)
    assert judge(at_most(0.3, "ours", worst=True), sides) == (0.4, 0.1, 0.4, False)


def test_there_is_no_verdict_without_both_sides() -> None:
    assert judge(at_most(2.0, "ours", of="theirs"), {"ours": values(1.0)}) is None
    assert judge(at_most(2.0, "ours"), {}) is None


def test_the_sides_take_turns_and_none_always_comes_after_the_same_one() -> None:
    order: list[str] = []

    def side(name: str) -> Side:
        def measure() -> float:
            order.append(name)
            return 1.0

        return Side(name, "writes nothing", measure)

    found = measure_quickly(figure_of(*map(side, "abc")))
    assert "".join(order) == "abcbcacab"
    assert {name: side.runs for name, side in found.sides.items()} == {name: [1.0, 1.0, 1.0] for name in "abc"}


def test_a_side_that_fails_or_is_not_there_is_told_of_and_has_no_numbers() -> None:
    numbers = count()

    def fails() -> float:
        if next(numbers):
            raise SideFailed(f"cannot open '{HERE}/somewhere.db'\n")
        return 1.0

    sides = Side("a", "", lambda: 2.0), Side("b", "", fails), Side("c", "", lambda: 3.0, "c is not installed")
    found = measure_quickly(figure_of(*sides))
    assert list(found.sides) == ["a"]
    assert found.missing == {"b": "failed: cannot open 'somewhere.db'", "c": "c is not installed"}


def test_a_figure_that_cannot_be_set_up_is_told_of() -> None:
    def sides(_: Any) -> Iterator[Side]:
        raise SideFailed("no store")

    found = measure_quickly(figure_of()._replace(sides=cast("Callable[[Any], Any]", sides)))
    assert (found.sides, found.missing) == ({}, {"all of it": "no store"})


def test_raw_numbers_survive_being_written(tmp_path: Path) -> None:
    results = results_of({"race": Measured({"ours": values(1.5, 2.5)}, {"theirs": "not there"}, 3.5, "abc")})
    save(tmp_path / "results.json", results)
    assert load(tmp_path / "results.json") == results
    (tmp_path / "results.json").write_text('{"figures": {')
    assert load(tmp_path / "results.json") is None


def test_a_broken_off_run_goes_on_and_another_begins_anew() -> None:
    figures = [figure_of(name=name) for name in ("first", "second")]
    begun, done = results_of({}, finished=False), {"first": Measured({}, {}, 1.0, "abc")}
    broken_off = results_of(done, finished=False)
    assert bench.plan(begun, broken_off, figures, None) == (broken_off, figures[1:])
    for other in (None, results_of(done), broken_off._replace(code="other"), broken_off._replace(quick=True)):
        assert bench.plan(begun, other, figures, None) == (begun, figures)


def test_single_figures_are_measured_beside_the_others_of_the_same_machine() -> None:
    figures = [figure_of(name=name) for name in ("first", "second")]
    before = results_of({"first": Measured({}, {}, 1.0, "abc")}, code="before")
    results, wanted = bench.plan(results_of({}), before, figures, ["second"])
    assert (list(results.figures), wanted) == (["first"], figures[1:])
    with pytest.raises(Unfit):
        bench.plan(results_of({}), before._replace(machine={}), figures, ["second"])


def test_the_report_shows_what_was_measured_what_was_missed_and_why() -> None:
    race = figure_of(limits=(at_most(2.0, "ours", of="theirs"),))
    sides = {"ours": values(0.05, 0.06), "theirs": values(0.02, 0.03, policy="fsync each time")}
    results = results_of({"race": Measured(sides, {"jq": "jq is not installed"}, 7.0, "abc1234")})
    report = write_report(results, [race, figure_of(name="later")], {"race": "The disk.", "notes": "Nothing paid."})
    assert "| a race over 10,000,000 events | 55.0 ms | theirs: 25.0 ms | 2.20 × | ≤ 2 × | no |" in report
    assert "| theirs | 25.0 ms | 20.0 ms to 30.0 ms | 2 | 2.20 × this | fsync each time |" in report
    assert "- ours: 2.20 × theirs (2.00 to 2.50). ≤ 2 × is missed." in report
    assert "Not measured: jq: jq is not installed." in report
    assert "**Cause**: The disk." in report
    assert "Not measured yet." in report
    assert "Measured on a CPU, 2 cores, 8 GiB of memory, ext4, Linux 6, Python 3.11.7." in report
    assert report.endswith("## Notes\n\nNothing paid.\n")
    assert "**Cause**: not found out yet" in write_report(results, [race], {})


def test_the_readmes_table_is_that_of_the_report_with_machine_and_syncs() -> None:
    race = figure_of(limits=(at_most(2.0, "evcli append", of="theirs"),))
    sides = {"evcli append": values(0.05, policy="fdatasync, twice"), "theirs": values(0.02, policy="fsync each time")}
    later = figure_of(name="later", limits=(at_most(2.0, "ours"),))
    report = write_report(results_of({"race": Measured(sides, {}, 7.0, "abc")}), [race, later], {})
    part = readme_part(report)
    assert "| a race over 10,000,000 events | 50.0 ms | theirs: 20.0 ms | 2.50 × | ≤ 2 × | no |" in part
    assert part.count("| a race") == 1
    assert "Measured on a CPU, 2 cores" in part
    assert "evcli append: fdatasync, twice; theirs: fsync each time." in part
    document = with_part(f"before\n{readme_part('')}after\n", part)
    assert document == f"before\n{part}after\n"
    assert with_part(document, part) == document
    with pytest.raises(ValueError, match="no place"):
        with_part("no marks", part)


def test_the_reports_that_are_there_agree_with_the_raw_numbers() -> None:
    """``python -m tests.bench --readme`` makes them agree."""
    results = load(HERE / "results.json")
    assert results is not None
    report = (HERE / "RESULTS.md").read_text()
    assert report == write_report(results, all_figures(), read_causes(CAUSES))
    assert readme_part(report) in (ROOT / "README.md").read_text()
    assert str(ROOT) not in report
    assert set(read_causes(CAUSES)) <= {"notes", *(each.name for each in all_figures())}


def test_memory_is_no_disk() -> None:
    shared_memory = Path("/dev/shm")  # noqa: S108 (nothing is made there)
    if not shared_memory.is_mount():
        pytest.skip("there is no /dev/shm")
    with pytest.raises(Unfit, match="tmpfs"):
        require_disk(shared_memory / "bench")


def test_the_same_number_is_the_same_event_for_everybody() -> None:
    assert list(lines(3)) == [line(number) for number in range(3)]
    turns = [text.partition('"stream":"')[2][:13] for text in lines(300, 2)]
    assert turns == ["accounts/0000"] * 100 + ["accounts/0001"] * 100 + ["accounts/0000"] * 100
    assert all(180 < len(line(number)) < 200 for number in (0, 1, 77, 9_999_999))


def test_reads_are_counted_where_it_is_told_which_bytes_they_are(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        '7 pread64(3</s/ledger.jsonl>, "{\\"position\\":1, 2"..., 65536, 4096) = 812\n'
        '7 pread64(3</s/other.jsonl>, "x", 1, 0) = 1\n'
        '7 read(3</s/ledger.jsonl>, "", 4096) = 0\n'
    )
    assert list(reads_of(trace, Path("/s/ledger.jsonl"))) == [(4096, 812)]
    trace.write_text('7 read(3</s/ledger.jsonl>, "x", 4096) = 1\n')
    with pytest.raises(SideFailed, match="which bytes"):
        list(reads_of(trace, Path("/s/ledger.jsonl")))


def test_what_a_fold_reads_is_told_from_the_search_before_it() -> None:
    search = [(900, 76), (0, 64), (500, 100)]
    fold = [(0, 64), (64, 128), (192, 108)]
    assert split([*search, *fold], 300) == (search, fold)
    assert split([*search, *fold, (700, 5)], 300) == (search, [*fold, (700, 5)])
    with pytest.raises(SideFailed):
        split([*search, *fold[:2]], 300)
    with pytest.raises(SideFailed):
        split([(64, 128)], 192)
