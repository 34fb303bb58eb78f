"""`diff`, `why`, `blame` and `bisect` as they are typed: for streams and for views, right and wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.patches import apply_patch
from tests.cli.driving import Evcli, tree_hash

VIEWS = """\
[views.stock]
from = ["inventory/*"]
key = "/data/sku"
columns = { qty = "integer" }
[views.stock.on]
"item.received" = { inc = { qty = "/data/qty" }, set = { name = "/data/name" } }
"item.retired" = "delete"
[streams."accounts/*".reducer]
initial = { balance = 0 }
[streams."accounts/*".reducer.on]
opened = { set = { opened = "/time" } }
"money.deposited" = { inc = { balance = "/data/amount" } }
"money.withdrawn" = { inc = { balance = "/data/minus" } }
"""
HISTORY: list[tuple[str, str, dict[str, Any], int]] = [
    ("accounts/ann", "opened", {}, 1),
    ("accounts/ann", "money.deposited", {"amount": 10.0}, 2),
    ("accounts/bob", "opened", {}, 3),
    ("accounts/ann", "money.withdrawn", {"minus": -40}, 4),
    ("accounts/ann", "money.deposited", {"amount": 100}, 5),
    ("inventory/x", "item.received", {"sku": "A", "qty": 3, "name": "Mug"}, 6),
    ("inventory/y", "item.received", {"sku": "B/1", "qty": 1}, 7),
    ("inventory/x", "item.received", {"sku": "A", "qty": -5}, 8),
    ("inventory/x", "item.retired", {"sku": "B/1"}, 9),
]


@pytest.fixture(scope="session")
def shop_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evcli import Store
    from evcli.storage.local import LocalStore

    root = tmp_path_factory.mktemp("shop") / "store"
    store = Store(LocalStore(str(root), cache=None))
    for stream, kind, data, day in HISTORY:
        event = {"type": kind, "data": data, "time": f"2026-01-{day:02}T00:00:00Z", "meta": {"actor": f"a{day}"}}
        store.append(stream, [event])
    (root / "evcli.toml").write_text(VIEWS)
    return root


@pytest.fixture
def shop(evcli: Evcli, shop_tree: Path, store_path: Path) -> Evcli:
    shutil.copytree(shop_tree, store_path)
    return evcli


def test_the_diff_of_two_versions_is_a_patch_of_the_one_state(shop: Evcli) -> None:
    before, after = (shop.ok("replay", f"accounts/ann@{version}").json for version in (1, 4))
    result = shop("diff", "accounts/ann@1", "accounts/ann@4", "-o", "json")
    assert (result.code, result.err) == (1, "")
    assert apply_patch(before, result.json) == after
    assert result.json == [{"op": "replace", "path": "/balance", "value": 70.0}]
    assert shop("diff", "accounts/ann@1", "accounts/ann@4").lines == result.json
    assert shop("diff", "accounts/ann@4", "accounts/ann@1").lines == [{"op": "replace", "path": "/balance", "value": 0}]


def test_what_is_the_same_is_no_difference(shop: Evcli) -> None:
    for arguments in (
        ["accounts/ann@2", "accounts/ann@2"],
        ["accounts/ann@4"],
        ["accounts/ann", "--since", "2026-02"],
        ["stock", "--since", "2026-02"],
        ["accounts/ann@2..2", "--reducer", "last", "--until", "2026-01-01"],
    ):
        result = shop("diff", *arguments)
        assert (result.code, result.out, result.err) == (0, b"", ""), arguments
    assert shop.ok("diff", "accounts/ann@4", "-o", "json").json == []


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["accounts/ann@3"], 70.0),
        (["accounts/ann@2", "--to", "3"], -30.0),
        (["accounts/ann@2..2"], 10.0),
        (["accounts/ann@2..3"], -30.0),
        (["accounts/ann@2.."], 70.0),
        (["accounts/ann", "--since", "2026-01-05"], 70.0),
        (["accounts/ann", "--since", "2026-01-04", "--until", "2026-01-04"], -30.0),
        (["accounts/ann", "--since", "2026-01-02", "--to", "2"], 10.0),
        (["accounts/ann", "accounts/ann@3"], -30.0),
        (["accounts/ann", "--since", "2026-01-02", "--reducer", "count"], 4),
    ],
)
def test_what_is_compared_can_be_said_in_several_ways(shop: Evcli, arguments: list[str], value: float) -> None:
    result = shop("diff", *arguments)
    assert result.code == 1, result.err
    assert [operation["value"] for operation in result.lines] == [value]


def test_two_streams_are_compared_each_by_its_own_reducer(shop: Evcli) -> None:
    found = shop("diff", "accounts/bob", "accounts/ann", "--until", "2026-01-04")
    assert found.code == 1
    assert [operation["path"] for operation in found.lines] == ["/balance", "/opened"]


def test_the_diff_of_a_view_is_a_patch_of_its_rows_by_key(shop: Evcli) -> None:
    def rows(*until: str) -> dict[str, Any]:
        return {row["key"]: row["value"] for row in shop.ok("query", "rows", "stock", *until).lines}

    result = shop("diff", "stock", "--since", "2026-01-07", "--until", "2026-01-08")
    assert (result.code, result.err) == (1, "")
    assert result.lines == [
        {"op": "replace", "path": "/A/qty", "value": -2},
        {"op": "add", "path": "/B~11", "value": {"qty": 1}},
    ]
    assert apply_patch(rows("--until", "2026-01-06"), result.lines) == rows("--until", "2026-01-08")
    assert shop("diff", "stock", "--since", "2026-01-09").lines == [{"op": "remove", "path": "/B~11"}]


def test_a_tree_shows_what_was_and_what_is(shop: Evcli) -> None:
    assert shop("diff", "stock", "--since", "2026-01-07", "-o", "table").out.decode() == "~ /A/qty  3 → -2\n"
    colored = shop("diff", "accounts/ann@2..2", "-o", "table", "--color", "always").out.decode()
    assert "\x1b[31m0\x1b[0m" in colored
    assert "\x1b[32m10.0\x1b[0m" in colored


def test_quiet_leaves_the_exit_code(shop: Evcli) -> None:
    for arguments in (["diff", "accounts/ann@1"], ["bisect", "accounts/ann", "--check", "balance >= 0"]):
        result = shop(*arguments, "-q")
        assert (result.code, result.out, result.err) == (1, b"", "")


def test_why_names_the_event_with_what_was_before_and_after(shop: Evcli, store_path: Path) -> None:
    stored = (store_path / "streams/accounts/ann.jsonl").read_bytes().splitlines()
    result = shop.ok("why", "accounts/ann@3", "/balance")
    assert b'"event":' + stored[2] + b"," in result.out
    found = result.json
    assert (found["version"], found["event"]["type"], found["event"]["meta"]) == (3, "money.withdrawn", {"actor": "a4"})
    assert (found["path"], found["before"], found["after"]) == ("/balance", 10.0, -30.0)
    assert found["diff"] == [{"op": "replace", "path": "/balance", "value": -30.0}]
    assert shop.ok("why", "accounts/ann", "/balance", "--to", "3", "-o", "json").json == found
    assert shop.ok("why", "accounts/ann", "/balance", "--until", "2026-01-04").json == found
    assert shop.ok("blame", "accounts/ann@3", "/balance").json == found


def test_why_all_is_the_whole_history_of_a_place(shop: Evcli) -> None:
    found = shop.ok("why", "accounts/ann", "/balance", "--all").lines
    assert [one["version"] for one in found] == [0, 2, 3, 4]
    assert found[0]["event"] is None
    assert [one.get("before") for one in found] == [None, 0, 10.0, -30.0]
    assert shop.ok("why", "accounts/ann", "/balance", "--all", "-o", "json").json == found


def test_why_shows_people_the_event_and_the_change(shop: Evcli) -> None:
    first, second = shop.ok("why", "accounts/ann@3", "/balance", "-o", "table").out.decode().splitlines()
    assert first.startswith("accounts/ann@3 ")
    assert "money.withdrawn" in first
    assert "actor=a4" in first
    assert second == "~ /balance  10.0 → -30.0"
    sheet = shop.ok("why", "accounts/ann@3", "/balance", "-o", "csv").out.decode().splitlines()
    assert sheet == [
        "version,time,type,actor,path,before,after",
        "3,2026-01-04T00:00:00.000000Z,money.withdrawn,a4,/balance,10.0,-30.0",
    ]


def test_without_a_pointer_each_value_has_the_event_that_set_it(shop: Evcli) -> None:
    for command in ("why", "blame"):
        found = shop.ok(command, "accounts/ann").lines
        assert [(leaf["path"], leaf["value"], leaf["version"]) for leaf in found] == [
            ("/balance", 70.0, 4),
            ("/opened", "2026-01-01T00:00:00.000000Z", 1),
        ]
        assert found[0]["event"]["type"] == "money.deposited"
    table = shop.ok("blame", "accounts/ann@0", "-o", "table").out.decode().splitlines()
    assert table[1].split() == ["/balance", "0", "(initial)"]


def test_why_of_a_view_is_about_one_row(shop: Evcli) -> None:
    found = shop.ok("why", "stock", "A", "/qty").json
    assert (found["position"], found["key"], found["before"], found["after"]) == (8, "A", 3, -2)
    assert [one["position"] for one in shop.ok("why", "stock", "A", "/qty", "--all").lines] == [6, 8]
    assert shop.ok("why", "stock", "A", "/qty", "--until", "2026-01-07").json["position"] == 6
    gone = shop.ok("why", "stock", "B/1", "").json
    assert (gone["event"]["type"], gone["before"], "after" in gone) == ("item.retired", {"qty": 1}, False)
    assert [(leaf["path"], leaf["event"]["version"]) for leaf in shop.ok("blame", "stock", "A").lines] == [
        ("/qty", 2),
        ("/name", 1),
    ]
    assert "~ /A/qty  3 → -2" in shop.ok("why", "stock", "A", "/qty", "-o", "table").out.decode()


def test_bisect_finds_the_event_that_broke_it(shop: Evcli) -> None:
    result = shop("bisect", "accounts/ann", "--check", "balance >= 0")
    assert (result.code, result.err) == (1, "")
    assert list(result.json) == ["version", "event", "diff"]
    assert result.json["version"] == 3
    assert result.json["diff"] == [{"op": "replace", "path": "/balance", "value": -30.0}]
    for more in (["--monotone"], ["--good", "1", "--bad", "3"], ["--until", "2026-01-04"]):
        expected = result.json if more != ["--monotone"] else None
        found = shop("bisect", "accounts/ann", "--check", "balance >= 0", *more, "-o", "json")
        assert (found.code, found.json) == (int(expected is not None), expected), more
    assert shop("bisect", "accounts/ann@3", "--check", "balance >= 0", "--monotone").json == result.json
    assert (
        shop("bisect", "accounts/ann@2..3", "--check", "balance >= :least", "--param", "least:=0").json == result.json
    )


def test_bisect_all_has_a_line_for_every_flip(shop: Evcli) -> None:
    result = shop("bisect", "accounts/ann", "--check", "balance >= 0", "--all")
    assert result.code == 1
    assert [(flip["version"], flip["holds"]) for flip in result.lines] == [(3, False), (4, True)]
    shown = shop("bisect", "accounts/ann", "--check", "balance >= 0", "--all", "-o", "table").out.decode()
    assert shown.count("  the check ") == 2


def test_bisect_that_finds_nothing_is_silent_and_done(shop: Evcli) -> None:
    for arguments in (["--check", "balance > -100"], ["--check", "balance >= 0", "--bad", "2"], ["--run", "true"]):
        result = shop.ok("bisect", "accounts/ann", *arguments)
        assert (result.out, result.err) == (b"", "")
    assert shop.ok("bisect", "accounts/ann", "--check", "true", "-o", "json").out == b"null\n"
    assert shop.ok("bisect", "accounts/ann", "--check", "true", "--all", "-o", "json").json == []


def test_bisect_runs_a_program_and_is_honest_about_what_it_skipped(shop: Evcli) -> None:
    program = 'read state; case $state in *balance\\":10.0*) exit 125;; *-30.0*) exit 1;; esac'
    result = shop("bisect", "accounts/ann", "--run", program)
    assert (result.code, result.json["version"], result.json["skipped"]) == (1, 3, [2])
    assert "what 2 led to could not be judged" in result.err
    result = shop("bisect", "accounts/ann@2", "--run", program)
    assert (result.code, result.out) == (0, b"")
    assert "of 2 states it skipped 1" in result.err
    assert "none of" in shop.fails(69, "bisect", "accounts/ann", "--run", "exit 125")
    assert "exit code 9 on accounts/ann@1" in shop.fails(69, "bisect", "accounts/ann", "--run", "exit 9")


def test_bisect_of_a_view_finds_the_first_position_at_which_a_row_fails(shop: Evcli) -> None:
    for more in ([], ["--view"], ["--views"], ["--good", "6"], ["--good", "7", "--bad", "8"]):
        result = shop("bisect", "stock", "--check", "qty >= 0", *more)
        assert (result.code, result.json["position"], result.json["key"]) == (1, 8, "A"), more
        assert result.json["diff"] == [{"op": "replace", "path": "/qty", "value": -2}]
    assert shop("bisect", "stock", "--run", "read row; case $row in *-2*) exit 1;; esac").json["position"] == 8
    assert shop("bisect", "stock", "--check", "(select count(*) from stock) < 2").json["position"] == 7
    shop.ok("bisect", "stock", "--check", "qty >= 0", "--bad", "7")
    shop.ok("bisect", "stock", "--check", "qty >= 0", "--until", "2026-01-07")


def test_a_stream_comes_before_a_view_of_the_same_name(shop: Evcli) -> None:
    shop.ok("append", "stock", "noted", "qty:=-1", "-q")
    assert shop.ok("why", "stock", "/qty").json["version"] == 1
    assert shop.ok("why", "stock", "A", "/qty", "--view").json["position"] == 8
    assert shop("diff", "stock@0").lines == [{"op": "add", "path": "/qty", "value": -1}]
    assert shop("diff", "stock", "--view", "--since", "2026-01-09").lines == [{"op": "remove", "path": "/B~11"}]


@pytest.mark.parametrize(
    ("code", "arguments", "complaint"),
    [
        (4, ["diff", "nobody", "--since", "today"], "no stream nobody"),
        (4, ["diff", "accounts/ann", "nobody"], "no stream nobody"),
        (2, ["diff", "accounts/ann"], "not said what accounts/ann is compared with"),
        (2, ["diff", "accounts/*", "--since", "today"], "is a pattern"),
        (2, ["diff", "accounts/ann@1", "accounts/ann@2", "--since", "today"], "one version each"),
        (2, ["diff", "accounts/ann@1", "accounts/ann@2..3"], "one version each"),
        (2, ["diff", "accounts/ann@1..2", "--to", "3"], "a version is given twice"),
        (2, ["diff", "accounts/ann@1", "--since", "today"], "said twice where to begin"),
        (2, ["diff", "accounts/ann", "--since", "today", "--until", "yesterday"], "--until is before --since"),
        (2, ["diff", "accounts/ann", "--since", "whenever"], "whenever"),
        (2, ["diff", "stock"], "not said since when"),
        (2, ["diff", "stock", "stock"], "as of two moments"),
        (4, ["diff", "shelves", "--view", "--since", "today"], "no view shelves"),
        (4, ["why", "nobody", "/x"], "no stream nobody"),
        (4, ["why", "accounts/ann", "/owner"], "nothing has ever been at /owner in accounts/ann@4"),
        (2, ["why", "accounts/ann", "balance"], "is not a JSON pointer"),
        (2, ["why", "accounts/ann", "/a", "/b"], "which has no keys"),
        (2, ["why", "accounts/ann", "--all"], "the history of one place"),
        (2, ["why", "accounts/ann@1..2", "/balance"], "is a range"),
        (2, ["why", "stock"], "its rows have keys"),
        (2, ["why", "stock", "A", "/qty", "--to", "3"], "are for streams"),
        (4, ["why", "stock", "Z", "/qty"], "nothing has ever been at /qty in the row 'Z'"),
        (4, ["why", "stock", "Z"], "has no row 'Z'"),
        (4, ["blame", "nobody"], "no stream nobody"),
        (2, ["bisect", "accounts/ann"], "either --check EXPR or --run PROGRAM"),
        (2, ["bisect", "accounts/ann", "--check", "1", "--run", "true"], "either --check EXPR or --run PROGRAM"),
        (2, ["bisect", "accounts/ann", "--check", "balance >"], "syntax error"),
        (2, ["bisect", "accounts/ann", "--check", "1", "--all", "--monotone"], "leave out --all"),
        (2, ["bisect", "accounts/ann", "--run", "true", "--param", "a=1"], "--param is for --check"),
        (2, ["bisect", "accounts/ann", "--check", "1", "--good", "3", "--bad", "3"], "nothing between"),
        (2, ["bisect", "accounts/ann@3", "--check", "1", "--bad", "3"], "a version is given twice"),
        (2, ["bisect", "accounts/ann", "--check", "balance < 0", "--good", "2"], "fails at accounts/ann@2 already"),
        (4, ["bisect", "accounts/ann", "--check", "1", "--good", "9"], "accounts/ann has no version 9"),
        (2, ["bisect", "stock", "--check", "1", "--monotone"], "--monotone is for streams"),
        (2, ["bisect", "stock", "--check", "1", "--reducer", "count"], "--reducer is for streams"),
        (4, ["bisect", "nobody", "--check", "1"], "no stream nobody"),
    ],
)
def test_what_cannot_be_answered_says_why(shop: Evcli, code: int, arguments: list[str], complaint: str) -> None:
    assert complaint in shop.fails(code, *arguments)


def test_none_of_them_writes_anything(shop: Evcli, store_path: Path, tmp_path: Path) -> None:
    (store_path / "fold.py").write_text("initial = {}\n\n\ndef evolve(state, event):\n    return event['data']\n")
    commands = (
        ["diff", "accounts/ann@1"],
        ["diff", "accounts/ann@1", "accounts/bob"],
        ["diff", "accounts/ann", "--since", "2026-01-02", "--reducer", str(store_path / "fold.py")],
        ["diff", "stock", "--since", "2026-01-07"],
        ["why", "accounts/ann", "/balance", "--all"],
        ["why", "accounts/ann", "/amount", "--reducer", str(store_path / "fold.py")],
        ["why", "stock", "A", "/qty"],
        ["blame", "accounts/ann"],
        ["blame", "stock", "A"],
        ["bisect", "accounts/ann", "--check", "balance >= 0", "--all"],
        ["bisect", "accounts/ann", "--run", "true", "--monotone"],
        ["bisect", "stock", "--check", "qty >= 0"],
    )
    shop.ok("replay", "accounts/ann")  # what evcli.toml says is noted in the cache by whoever reads it first
    for is_warm in (False, True):
        if is_warm:
            shop.ok("query", "state", "accounts/ann@2")
            shop.ok("query", "state", "accounts/ann")
            shop.ok("query", "rows", "stock", "--where", "qty < 0")
        before = tree_hash(tmp_path)
        for arguments in commands:
            assert shop(*arguments).code in (0, 1), arguments
            assert tree_hash(tmp_path) == before, arguments


def test_the_python_door_answers_the_same(shop: Evcli, store_path: Path) -> None:
    from evcli import Store

    store = Store.open(store_path)
    assert store.diff("accounts/ann", since="2026-01-04", to=3) == shop("diff", "accounts/ann@2..3").lines
    assert store.diff("accounts/ann", after=4) == []
    cause = store.why("accounts/ann", "/balance", to=3)
    assert cause is not None
    assert (cause.version, json.loads(cause.line or b"")["type"], cause.after) == (3, "money.withdrawn", -30.0)
    assert store.why("accounts/ann", "/owner") is None
    flip = store.bisect("accounts/ann", lambda state: bool(state["balance"] >= 0))
    assert flip is not None
    assert (flip.number, flip.before["balance"], flip.after["balance"]) == (3, 10.0, -30.0)
    assert store.bisect("accounts/ann", lambda state: "balance" in state) is None


def test_a_check_that_asks_for_what_is_nowhere_is_doubted(shop: Evcli) -> None:
    found = shop("bisect", "accounts/ann", "--check", "balanse > 0")
    assert (found.code, found.json["version"]) == (1, 1)
    assert "there is no member 'balanse' before or after event 1" in found.err
    assert "the check fails before the first event already" in found.err
    assert "no member" not in shop("bisect", "accounts/ann", "--check", "balance > 0").err
    assert shop("bisect", "accounts/ann", "--check", "balance < 100").err == ""


def test_why_prints_nothing_where_there_is_nothing(shop: Evcli) -> None:
    result = shop("why", "accounts/ann", "/nope", "-o", "json")
    assert (result.code, result.out) == (4, b"")
    assert shop.ok("bisect", "accounts/ann", "--check", "balance < 1000", "-o", "json").json is None
