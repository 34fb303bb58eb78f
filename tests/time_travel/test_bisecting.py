"""`bisect` finds what going through all states finds, skips included; a binary search finds it too where it may be used."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.patches import apply_patch, to_operation
from evcli.domain.values import Json, same_json
from evcli.errors import CodeFailed, Usage
from evcli.storage.codec import loads
from evcli.storage.sql_checks import RowCheck
from evcli.time_travel.bisecting import Tally, scan, search
from evcli.time_travel.checking import FunctionCheck, ProgramCheck, SqlCheck, Subject, Verdict
from tests.read_side.test_states import Folder
from tests.time_travel.histories import REDUCERS, Counted, fill, histories, open_store, reducers, states, timeline
from tests.time_travel.test_timeline import asked_before, warm

pytestmark = pytest.mark.usefixtures("tight_ladder")
EXAMPLES = settings(max_examples=25, deadline=None)
verdicts = st.lists(st.sampled_from(["good", "bad", "skip"]), min_size=31, max_size=31)


class Scripted:
    """A check that says of each version what it was told to say."""

    def __init__(self, said: list[Verdict]) -> None:
        self.said = said
        self.asked: list[int] = []

    def judge(self, subject: Subject) -> Verdict:
        self.asked.append(subject.version)
        return self.said[subject.version]


def sql(expression: str, **params: Any) -> SqlCheck:
    return SqlCheck(RowCheck("state", {}, expression, params, what="--check"))


def flips_by_hand(said: list[Verdict], good: int, bad: int) -> list[tuple[int, bool, tuple[int, ...]]]:
    flips = []
    holds, skipped = True, list[int]()
    for version in range(good + 1, bad + 1):
        if said[version] == "skip":
            skipped.append(version)
            continue
        if (said[version] == "good") != holds:
            holds = not holds
            flips.append((version, holds, tuple(skipped)))
        skipped = []
    return flips


@EXAMPLES
@given(histories, reducers, asked_before, verdicts, st.integers(0, 30), st.integers(0, 30))
def test_a_scan_finds_every_flip_and_what_changed_across_it(
    commits: Any, name: str, cached: list[int], said: list[Verdict], good: int, bad: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, commits)
        good, bad = min(good, len(events)), min(bad, len(events))
        said[good] = "good"
        expected = states(REDUCERS[name], events)
        warm(store, folder, Counted(name), cached)
        line = timeline(store, folder, Counted(name))
        found = list(scan(line, Scripted(said), good=good, bad=bad, tally=Tally()))
        assert [(flip.number, flip.holds, flip.skipped) for flip in found] == flips_by_hand(said, good, bad)
        for flip in found:
            patch = map(to_operation, flip.changes())
            assert same_json(apply_patch(expected[flip.number - 1], patch), expected[flip.number])
            assert loads(flip.line)["version"] == flip.number


@EXAMPLES
@given(histories, reducers, asked_before, st.integers(0, 31), st.sets(st.integers(0, 30)), st.integers(0, 30))
def test_a_search_finds_what_a_scan_finds_where_what_is_bad_stays_bad(
    commits: Any, name: str, cached: list[int], broken: int, unclear: set[int], good: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        bad = len(fill(store, commits))
        good = min(good, bad, broken - 1 if broken else 0)
        said: list[Verdict] = ["skip" if n in unclear else "good" if n < broken else "bad" for n in range(32)]
        said[good] = "good"
        warm(store, folder, Counted(name), cached)
        found = search(timeline(store, folder, Counted(name)), Scripted(said), good=good, bad=bad, tally=Tally())
        line = timeline(store, folder, Counted(name))
        assert found == next(scan(line, Scripted(said), good=good, bad=bad, tally=Tally()), None)


@EXAMPLES
@given(histories, reducers, st.integers(-1, 4))
def test_an_expression_finds_what_the_same_question_in_python_finds(commits: Any, name: str, most: int) -> None:
    def passes(state: Json) -> bool:
        return isinstance(state, dict) and isinstance(state.get("n"), int) and state["n"] <= most

    with Folder() as folder:
        store = open_store(folder)
        bad = len(fill(store, commits))
        line = timeline(store, folder, Counted(name))
        asked, called = (
            list(scan(line, check, good=0, bad=bad, tally=Tally()))
            for check in (sql("typeof(n) = 'integer' and n <= :most", most=most), FunctionCheck(passes))
        )
        assert asked == called


def test_a_search_asks_little_of_the_check(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"n": number} for number in range(200)]])
    check = Scripted(["good" if version < 137 else "bad" for version in range(201)])
    found = search(timeline(store, tmp_path, Counted("merge")), check, good=0, bad=200, tally=Tally())
    assert found is not None
    assert found.number == 137
    assert len(check.asked) <= 9


def test_a_version_named_good_that_is_not_is_an_error(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"n": 1}, {"n": 2}]])
    line = timeline(store, tmp_path, Counted("merge"))
    for way in (scan, search):
        with pytest.raises(Usage, match="fails at s@1 already"):
            way(line, sql("n > 5"), good=1, bad=2, tally=Tally())


def test_an_expression_is_worked_out_as_in_query_rows(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"n": 1}, {"n": None}, {"n": 0, "s": "a"}, {"s": "b"}]])
    line = timeline(store, tmp_path, Counted("merge"))

    def first(expression: str, **params: Any) -> int | None:
        flip = next(scan(line, sql(expression, **params), good=0, bad=4, tally=Tally()), None)
        return flip and flip.number

    assert first("n > 0") == 2  # there is no n then: NULL, which selects nothing
    assert first("coalesce(n, 0) >= 0") is None
    assert first("s is not :s", s="b") == 4
    assert first("version < 3") == 3
    assert first("key = 's' and position < 4") == 4
    assert first("json_extract(value, '$.s') is null") == 3
    assert first("(select count(*) from state) = 1") is None


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("n >", "--check: "),
        ("", "--check is empty"),
        ("n); drop table state; --", "ends it"),
        ("(select 1 from sqlite_master)", "only reads views"),
        ("load_extension('x')", "load_extension"),
        ("n > :most", ":most has no value"),
        ("abs(-9223372036854775808)", "integer overflow"),
    ],
)
def test_an_expression_that_cannot_be_worked_out_is_a_usage_error(expression: str, complaint: str) -> None:
    with pytest.raises(Usage, match=r".*") as caught:
        sql(expression).judge(Subject("s", b"{}", 1, 1))
    assert complaint in str(caught.value)


def test_a_program_judges_by_its_exit_code_and_is_asked_once_about_the_same(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    check = ProgramCheck(
        f'read state; echo "$state" >> {log}; case $state in 1) exit 0;; 2) exit 1;; 3) exit 125;; esac; exit 7'
    )
    said = [check.judge(Subject("s", text, 1, 1)) for text in (b"1", b"1", b"2", b"3", b"1")]
    assert said == ["good", "good", "bad", "skip", "good"]
    assert log.read_text() == "1\n2\n3\n1\n"
    with pytest.raises(CodeFailed, match="ended with exit code 7 on s@9"):
        check.judge(Subject("s", b"4", 9, 9))


def test_a_program_need_not_read_what_it_is_given() -> None:
    assert ProgramCheck("exit 1").judge(Subject("s", b'"' + b"x" * 1_000_000 + b'"', 1, 1)) == "bad"


def test_skipping_everything_is_no_answer(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"n": 1}, {"n": 2}]])
    line = timeline(store, tmp_path, Counted("merge"))
    for way in (scan, search):
        tally = Tally()
        found = way(line, ProgramCheck("exit 125"), good=0, bad=2, tally=tally)
        assert not list(found or ())
        with pytest.raises(CodeFailed, match="none of"):
            tally.require_any()
    empty = Tally()
    empty.require_any()


def test_several_rows_pass_where_all_of_them_do() -> None:
    check = SqlCheck(RowCheck("stock", {"qty": "integer"}, "qty >= 0", {}, what="--check"))
    judged = [
        check.judge(Subject(key, text, version, version))
        for version, (key, text) in enumerate(
            [("A", b'{"qty":1}'), ("B", b'{"qty":-1}'), ("A", b'{"qty":2}'), ("B", b'{"qty":0}'), ("A", None)]
        )
    ]
    assert judged == ["good", "bad", "bad", "good", "good"]


def test_a_subquery_sees_all_rows() -> None:
    check = SqlCheck(RowCheck("stock", {}, "(select sum(qty) from stock) < 10", {}, what="--check"))
    rows = [("A", b'{"qty":6}'), ("B", b'{"qty":3}'), ("A", b'{"qty":9}'), ("B", None)]
    judged = [check.judge(Subject(key, text, 1, 1)) for key, text in rows]
    assert judged == ["good", "good", "bad", "good"]
