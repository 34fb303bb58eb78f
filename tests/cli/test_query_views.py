import json
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.driving import Evcli, start, tree_hash

CONFIG = """\
[views.stock]
from = "inventory/**"
key = "/data/sku"
columns = { qty = "integer", updated = "text" }
[views.stock.on]
"item.received" = { inc = { qty = "/data/qty" }, set = { updated = "/time", name = "/data/name" } }

[views.plain]
from = "inventory/**"
key = "/data/sku"
reducer = "last"

[views.order]
from = "orders/**"
key = "stream"
reducer = "merge"

[views.my-prices]
from = "prices/**"
key = "/data/sku"
reducer = "merge"
columns = { euro = "real", group = "text" }
"""
ENDLESS = "(with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n)"


@pytest.fixture
def shop(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """Make a shop with two articles in stock, their prices and an order; no view has been asked yet."""
    (tmp_path / "evcli.toml").write_text(CONFIG)
    monkeypatch.setenv("EVCLI_CONFIG", str(tmp_path / "evcli.toml"))
    for day, sku, qty, name in ((1, "A", 3, "mug"), (2, "B", 9, "café ☕"), (3, "A", 4, "mug")):
        receive(evcli, sku, qty, name, "--time", f"2026-01-0{day}T00:00:00Z")
    evcli.ok("append", "prices/x", "set", '{"sku":"A","euro":2.5,"group":"x"}')
    evcli.ok("append", "orders/7", "placed", '{"sku":"B","pieces":2,"to":{"city":"Köln"}}')
    return evcli


def receive(evcli: Evcli, sku: str, qty: int, name: str, *options: str) -> None:
    evcli.ok("append", "inventory/x", "item.received", f"sku={sku}", f"qty:={qty}", f"name={name}", *options)


def view_files(tmp_path: Path, view: str = "stock") -> list[Path]:
    return sorted((tmp_path / "cache").glob(f"*/views/{view}/*.sqlite"))


def keys(evcli: Evcli, *arguments: str) -> str:
    return "".join(row["key"] for row in evcli.ok("query", "rows", *arguments).lines)


def updated(day: int) -> str:
    return f"2026-01-0{day}T00:00:00.000000Z"


# get


def test_get_prints_the_row_of_a_key(shop: Evcli) -> None:
    row = {"qty": 7, "updated": updated(3), "name": "mug"}
    assert shop.ok("query", "get", "stock", "A").json == row
    assert shop.ok("query", "get", "stock", "A", "/qty").out == b"7\n"
    assert shop.ok("query", "get", "stock", "B", "/name").out.decode() == '"café ☕"\n'
    assert shop.ok("query", "get", "stock", "B", "/name", "-r").out.decode() == "café ☕\n"
    assert shop.ok("query", "get", "order", "orders/7", "/to/city", "-r").out.decode() == "Köln\n"
    assert shop.ok("query", "get", "stock", "A", "-o", "table").out.decode().splitlines()[1:2] == ['  "qty": 7,']


def test_get_with_version_tells_the_last_event_of_the_row(shop: Evcli) -> None:
    found = shop.ok("query", "get", "stock", "A", "--with-version").json
    assert [found[name] for name in ("key", "version", "position")] == ["A", 3, 3]
    assert found["value"]["qty"] == 7
    found = shop.ok("query", "get", "stock", "B", "/qty", "--with-version").json
    assert found == {"key": "B", "version": 2, "position": 2, "value": 9}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["stock", "none"], "evcli query rows stock"),
        (["stock", "a"], "no row 'a'"),
        (["stock", ""], "no row ''"),
        (["stock", "A' or '1'='1"], "no row"),
        (["stock", "A", "/none"], "nothing at /none"),
        (["none", "A"], "has: stock, plain, order, my-prices"),
    ],
)
def test_get_of_what_is_not_there_is_exit_4(shop: Evcli, arguments: list[str], told: str) -> None:
    assert told in shop.fails(4, "query", "get", *arguments)


def test_get_of_no_pointer_or_as_csv_is_a_usage_error(shop: Evcli) -> None:
    assert "'qty'" in shop.fails(2, "query", "get", "stock", "A", "qty")
    shop.fails(2, "query", "get", "stock", "A", "-o", "csv")


def test_until_answers_as_of_then(shop: Evcli) -> None:
    assert shop.ok("query", "get", "stock", "A", "/qty", "--until", updated(1)).json == 3
    assert shop.ok("query", "rows", "stock", "--until", "2026-01-02", "--where", "qty < 5").lines == [
        {"key": "A", "value": {"qty": 3, "updated": updated(1), "name": "mug"}}
    ]
    assert shop.ok("query", "sql", "select sum(qty) as n from stock", "--until", updated(2)).json == {"n": 12}
    shop.fails(4, "query", "get", "stock", "B", "--until", updated(1))
    for option in (["--cached"], ["--at-least", "1"]):
        shop.fails(2, "query", "rows", "stock", "--until", updated(2), *option)


def test_cached_answers_without_catching_up(shop: Evcli) -> None:
    for query in (["get", "stock", "A"], ["rows", "stock"], ["sql", "select key from stock"]):
        assert "ask once without --cached" in shop.fails(4, "query", *query, "--cached")
    assert shop.ok("query", "get", "stock", "A", "/qty").json == 7
    receive(shop, "A", 1, "mug")
    assert shop.ok("query", "get", "stock", "A", "/qty", "--cached").json == 7
    assert shop.ok("query", "sql", "select qty from stock limit 1", "--cached").json == {"qty": 7}
    assert keys(shop, "stock", "--where", "qty = 7", "--cached") == "A"
    assert shop.ok("query", "get", "stock", "A", "/qty").json == 8
    assert keys(shop, "stock", "--where", "qty = 7", "--cached") == ""


def test_at_least_waits_for_a_position(shop: Evcli) -> None:
    assert keys(shop, "stock", "--at-least", "5") == "AB"
    for query in (["get", "stock", "A"], ["rows", "stock"], ["sql", "select key from stock"]):
        for options in ([], ["--cached"]):
            began = time.monotonic()
            said = shop.fails(75, "query", *query, *options, "--at-least", "6", "--timeout", "50ms")
            assert "position 6" in said
            assert 0.05 <= time.monotonic() - began < 2

    def append() -> None:
        from evcli import Store

        time.sleep(0.1)
        Store.open().append("inventory/x", [("item.received", {"sku": "C", "qty": 1, "name": "pot"})])

    writer = threading.Thread(target=append)
    writer.start()
    assert keys(shop, "stock", "--at-least", "6") == "ABC"
    writer.join()


def test_explain_says_on_standard_error_what_an_answer_covers(shop: Evcli) -> None:
    header, row = shop.ok("query", "get", "stock", "A", "--explain").err.splitlines()
    assert header.split() == ["view", "position", "lag", "folded", "milliseconds", "rebuilt"]
    assert row.split()[:4] == ["stock", "5", "0", "3"]
    assert row.endswith("first use")
    receive(shop, "A", 1, "mug")
    explained = json.loads(shop.ok("query", "rows", "stock", "--cached", "--explain", "-o", "json").err)["explain"]
    assert explained.pop("milliseconds") >= 0
    assert explained == {"view": "stock", "position": 5, "lag": 1, "folded": 0, "rebuilt": ""}
    said = shop.ok("query", "sql", 'select 1 from stock, "my-prices"', "--explain", "-o", "jsonl").err.splitlines()
    found = [json.loads(line)["explain"] for line in said]
    assert [(one["view"], one["position"], one["folded"]) for one in found] == [("stock", 6, 1), ("my-prices", 6, 1)]


# rows


def test_rows_are_printed_in_each_format(shop: Evcli) -> None:
    rows = [
        {"key": "A", "value": {"qty": 7, "updated": updated(3), "name": "mug"}},
        {"key": "B", "value": {"qty": 9, "updated": updated(2), "name": "café ☕"}},
    ]
    assert shop.ok("query", "rows", "stock").lines == rows
    assert shop.ok("query", "rows", "stock", "-o", "json").json == rows
    assert shop.ok("query", "rows", "stock", "-o", "csv").out.decode().splitlines() == [
        "key,qty,updated",
        f"A,7,{updated(3)}",
        f"B,9,{updated(2)}",
    ]
    lines = shop.ok("query", "rows", "stock", "-o", "table").out.decode().splitlines()
    assert [line.split() for line in lines] == [
        ["key", "qty", "updated"],
        ["A", "7", updated(3)],
        ["B", "9", updated(2)],
    ]
    csv = shop.ok("query", "rows", "plain", "-o", "csv", "--limit", "1").out.decode()
    assert csv == 'key,value\nA,"{""sku"":""A"",""qty"":4,""name"":""mug""}"\n'


def test_fields_are_members_and_what_every_row_has(shop: Evcli) -> None:
    fields = ["--fields", "key, name,version,position,none"]
    assert shop.ok("query", "rows", "stock", *fields, "--limit", "1").json == {
        "key": "A",
        "name": "mug",
        "version": 3,
        "position": 3,
        "none": None,
    }
    assert shop.ok("query", "rows", "stock", *fields, "-o", "csv").out.decode().splitlines()[2] == "B,café ☕,2,2,"
    for wrong in ("", "key,,name", ","):
        assert "--fields has an empty name" in shop.fails(2, "query", "rows", "stock", "--fields", wrong)


def test_where_sort_and_limit_select_rows(shop: Evcli) -> None:
    receive(shop, "C", 9, "pot")
    assert keys(shop, "stock", "--where", "qty < 8") == "A"
    assert keys(shop, "stock", "--where", "name = 'pot' or Qty = 7") == "AC"
    assert keys(shop, "stock", "--where", "none is null", "--sort", "-qty,-key") == "CBA"
    assert keys(shop, "stock", "--sort", "-qty", "--limit", "2") == "BC"
    assert keys(shop, "stock", "--sort", "name") == "BAC"
    assert keys(shop, "stock", "--limit", "0") == ""
    assert keys(shop, "my-prices", "--where", "\"group\" = 'x' and euro > 2") == "A"
    assert (
        keys(shop, "order", "--where", "json_extract(value, '$.to.city') = :city", "--param", "city=Köln") == "orders/7"
    )
    shop.fails(2, "query", "rows", "stock", "--limit", "-1")
    shop.fails(2, "query", "rows", "stock", "--sort", "qty,,key")


def test_parameters_are_texts_numbers_or_null(shop: Evcli) -> None:
    assert keys(shop, "stock", "--where", "qty < :few", "--param", "few:=8") == "A"
    assert keys(shop, "stock", "--where", "qty < :few", "--param", "few:=8.5") == "A"
    assert keys(shop, "plain", "--where", "qty < :few", "--param", "few=8") == "AB"  # numbers come before texts
    assert keys(shop, "stock", "--where", ":none is null", "--param", "none:=null") == "AB"
    assert keys(shop, "stock", "--where", "(qty = 7) = :yes", "--param", "yes:=true") == "A"
    assert keys(shop, "stock", "--where", "name = :name", "--param", "name=' or 1 --") == ""
    found = shop.ok("query", "sql", "select :a as a, :b as b", "--param", "a=x=y", "--param", "b:=-1").json
    assert found == {"a": "x=y", "b": -1}


@pytest.mark.parametrize(
    ("params", "code", "told"),
    [
        ([], 2, "give it one: --param few=text"),
        (["few:=5", "fwe:=5"], 2, "no :fwe"),
        (["few:=[5]"], 2, "no single value"),
        (["few:=18446744073709551615"], 2, "64 bits"),
        (["few"], 2, "is not a field"),
        (["few:=5", "few:=6"], 65, "given twice"),
        (["few:=NaN"], 65, "NaN"),
    ],
)
def test_a_wrong_parameter_is_told(shop: Evcli, params: list[str], code: int, told: str) -> None:
    options = [option for param in params for option in ("--param", param)]
    assert told in shop.fails(code, "query", "rows", "stock", "--where", "qty < :few", *options)
    assert told in shop.fails(code, "query", "sql", "select key from stock where qty < :few", *options)


def test_integers_beyond_64_bits_are_numbers(shop: Evcli) -> None:
    shop.ok("append", "prices/x", "set", '{"sku":"big","euro":9223372036854775808,"n":18446744073709551615}')
    found = shop.ok("query", "rows", "my-prices", "--where", "euro > 9e18 and n > euro")
    assert found.out == b'{"key":"big","value":{"sku":"big","euro":9223372036854775808,"n":18446744073709551615}}\n'
    assert shop.ok("query", "sql", 'select max(euro) as n from "my-prices"').json == {"n": 2.0**63}


def test_a_subquery_over_the_view_finds_members_too(shop: Evcli) -> None:
    receive(shop, "C", 1, "pot")
    assert keys(shop, "plain", "--where", "qty > (select avg(qty) from plain)") == "B"
    assert keys(shop, "stock", "--where", "name = (select max(name) from stock)") == "C"
    assert keys(shop, "stock", "--where", "length(stock.name) = (select max(length(s.name)) from stock s)") == "B"


HOSTILE = [
    "1) union select key, value, 1, 1 from stock where (1",
    "1 union select 1, 2, 3, 4",
    "1; delete from stock",
    "1);--",
    "(1 /* )",
    "/*",
    "'",
    '"',
    "`",
    "[",
    "(",
    ")",
    "",
    ";",
    "$a(') or 1) union select 1, 2, 3, 4 --')",
    ":1(') or 1) union select 1, 2, 3, 4 --')",
    ":a::b(')",
    "exists (select * from pragma_table_info('stock'))",
    "exists (select * from pragma_journal_mode('delete'))",
    "exists (select * from sqlite_schema)",
    "exists (select * from evcli_checkpoint)",
    "load_extension('evil')",
    "writefile('evil', 'x')",
    "readfile('/etc/passwd') like 'root%'",
    "hex(zeroblob(2000000000)) > ''",
    "hex(randomblob(2000000000)) > ''",
    "json_extract(value, '$[') = 1",
    "json_extract('{', '$.a') = 1",
    "abs(-9223372036854775808)",
    "(select sum(9223372036854775807) from stock)",
    "name like replace(hex(zeroblob(60000)), '00', '%a')",
    "(" * 1200 + "1" + ")" * 1200,
    "qty in (" + "1 + " * 2000 + "1)",
    "qty, key",
    "order = 1",
    "stock.none.x = 1",
    "raise(abort, 'x')",
    "qty = 1 collate none",
    "'\udcff' = name",
]
WRITING = [
    "",
    " ; -- nothing",
    "select 1; select 2",
    "select 1; drop table stock",
    "delete from stock",
    "insert into stock (key, value, version, position) values ('x', '{}', 1, 1)",
    "update view0.stock set version = 9",
    "with x as (select 1) delete from view0.stock",
    "explain delete from view0.stock",
    "drop view stock",
    "create table evil (x)",
    "create temp table evil as select * from stock",
    "create trigger t after insert on view0.stock begin select 1; end",
    "attach 'evil' as evil",
    "attach ':memory:' as m",
    "detach view0",
    "vacuum into 'evil'",
    "vacuum",
    "reindex",
    "analyze",
    "begin",
    "commit",
    "rollback",
    "pragma journal_mode = delete",
    "pragma writable_schema = 1",
    "pragma temp_store_directory = '.'",
    "select * from pragma_database_list",
    "select * from pragma_journal_mode('delete')",
    "select * from sqlite_schema",
    "select * from view0.evcli_checkpoint",
    "select * from 'secret.sqlite'",
    'select * from "secret.sqlite".secret',
    "select load_extension('evil')",
    "select writefile('evil', 'x')",
    "select readfile('secret.sqlite')",
    "select zeroblob(2000000000)",
    "select sum(9223372036854775807) from stock",
    "select abs(-9223372036854775808)",
    "select json_extract(value, '$[') from stock",
    "select 1 like replace(hex(zeroblob(60000)), '00', '%a')",
    "select key as k, x'00ff' as b from stock",
    "select cast(key as blob) from stock",
    "select 9e999",
    "select * from none",
    "select none from stock",
    "select key from stock where (",
    "select '\udcff'",
    "select * from fts5('x')",
    "with recursive n(x) as (select 1 union all select x + 1 from m) select * from n",
]


@pytest.fixture
def guarded(shop: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evcli]:
    """Give the shop with a view that has been asked, and see afterwards that not a byte of it nor of the folder changed."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with closing(sqlite3.connect("secret.sqlite")) as secret:
        secret.execute("create table secret (word)")
    keys(shop, "stock")
    [path] = view_files(tmp_path)
    before = (path.read_bytes(), path.stat().st_mtime_ns, tree_hash(work))
    yield shop
    assert view_files(tmp_path) == [path]
    assert (path.read_bytes(), path.stat().st_mtime_ns, tree_hash(work)) == before
    assert not shop.ok("query", "get", "stock", "A", "--explain", "-o", "json").err.endswith('"rebuilt":"file')
    assert keys(shop, "stock", "--cached") == "AB"


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:40].encode("unicode_escape").decode())
def test_a_hostile_where_is_a_usage_error_and_changes_nothing(guarded: Evcli, text: str) -> None:
    said = guarded.fails(2, "query", "rows", "stock", "--where", text)
    assert said.startswith("evcli: --where")
    assert "; " in said  # a next step


@pytest.mark.parametrize("text", WRITING, ids=lambda text: text[:40].encode("unicode_escape").decode())
def test_a_hostile_statement_is_a_usage_error_and_changes_nothing(guarded: Evcli, text: str) -> None:
    said = guarded.fails(2, "query", "sql", text)
    assert said.startswith("evcli: query sql")
    assert "; " in said


def test_sort_is_no_way_in(guarded: Evcli) -> None:
    for text in ("qty;--", "qty desc", "(select 1)", "qty, (select 1)", "1", "'x", "-", "a.b"):
        guarded.fails(2, "query", "rows", "stock", "--sort", text)


# sql


def test_sql_joins_views_whatever_their_names(shop: Evcli) -> None:
    statement = (
        'select s.key, s.qty * p.euro as worth, o.key as "order" from STOCK s'
        ' left join "my-prices" p using (key)'
        " left join [order] o on json_extract(o.value, '$.sku') = s.key order by s.key"
    )
    assert shop.ok("query", "sql", statement).lines == [
        {"key": "A", "worth": 17.5, "order": None},
        {"key": "B", "worth": None, "order": "orders/7"},
    ]
    assert shop.ok("query", "sql", statement, "-o", "csv").out.decode() == "key,worth,order\nA,17.5,\nB,,orders/7\n"
    assert "double quotes" in shop.fails(2, "query", "sql", "select * from my_prices")


def test_columns_of_one_name_are_told_apart(shop: Evcli) -> None:
    statement = "select a.qty, b.qty from stock a join stock b where a.key < b.key"
    assert shop.ok("query", "sql", statement).json == {"qty": 7, "qty:1": 9}
    assert shop.ok("query", "sql", statement, "-o", "csv").out == b"qty,qty:1\n7,9\n"


def test_sql_needs_no_view_and_may_find_nothing(shop: Evcli) -> None:
    assert shop.ok("query", "sql", "select 1 as one, null as none").json == {"one": 1, "none": None}
    assert shop.ok("query", "sql", "select key from stock where 0").out == b""
    assert shop.ok("query", "sql", "select key from stock where 0", "-o", "json").json == []
    assert shop.ok("query", "sql", "select key from stock where 0", "-o", "csv").out == b"key\n"


@pytest.mark.parametrize(
    "query",
    [
        ["rows", "stock"],
        ["sql", "select sum(length(value)) as n from stock"],
        ["rows", "stock", "--where", "name > 'a'"],
    ],
)
def test_a_file_found_damaged_while_it_is_read_is_told_and_made_anew(
    shop: Evcli, tmp_path: Path, query: list[str]
) -> None:
    events = [{"type": "item.received", "data": {"sku": f"{n:05}", "qty": n, "name": "x" * 200}} for n in range(400)]
    shop.ok(
        "append", "inventory/x", "--from", "-", stdin=b"".join(json.dumps(event).encode() + b"\n" for event in events)
    )
    expected = shop.ok("query", *query).out
    [path] = view_files(tmp_path)
    damage_quietly(path, tmp_path)
    said = shop.fails(74, "query", *query)
    assert "ask again" in said
    assert "stock" in said
    found = shop.ok("query", *query, "--explain", "-o", "jsonl")
    assert found.out == expected
    assert json.loads(found.err)["explain"]["rebuilt"] == "file missing"


def damage_quietly(path: Path, tmp_path: Path) -> None:
    """Overwrite the pages behind the first ones, and let the file be taken for as it was left."""
    from evcli.storage.view_folder import ViewFolder

    text = path.read_bytes()
    pages = 4 * 4096
    path.write_bytes(text[:pages] + b"\xff" * (len(text) - pages))
    folder = ViewFolder(str(path.parent))
    slot = folder.read().current
    assert slot is not None
    folder.guard(slot)
    assert folder.is_as_left(folder.read().current or slot), tmp_path


@pytest.mark.parametrize(
    "query",
    [["sql", f"select {ENDLESS}"], ["sql", f"select {ENDLESS} from stock"], ["rows", "stock", "--where", ENDLESS]],  # noqa: S608 (a constant)
    ids=["sql", "sql over a view", "rows"],
)
def test_ctrl_c_ends_a_long_query(shop: Evcli, query: list[str]) -> None:
    keys(shop, "stock")
    process = start("query", *query)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.8)  # long past its start
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=5)
    assert process.returncode == 130
    assert time.monotonic() - began < 1
    assert b"Traceback" not in said


@pytest.mark.usefixtures("shop")
def test_a_reader_that_goes_ends_a_query_quietly() -> None:
    count = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n"
    process = start("query", "sql", count)
    assert process.stdout is not None
    assert process.stdout.readline() == b'{"x":1}\n'
    process.stdout.close()
    _, said = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGPIPE
    assert not said


def test_rows_left_unread_leave_the_file_alone(shop: Evcli, tmp_path: Path) -> None:
    from evcli import Store

    asked: Any = Store.open().view("stock").query("name is not null")
    assert next(asked).key == "A"
    asked.close()
    [path] = view_files(tmp_path)
    assert path.exists()
    assert json.loads(shop.ok("query", "rows", "stock", "--explain", "-o", "jsonl").err)["explain"]["rebuilt"] == ""
