import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evcli.errors import StorageFailed, Usage
from evcli.storage.codec import dump
from evcli.storage.view_file import Checkpoint, RowChange, ViewFile, count_rows, open_readonly
from evcli.storage.view_sql import RowQuery, SqlValue, run_sql, select_rows, views_in

BEGINNING = Checkpoint(0, "", 0, "0" * 64)
COLUMNS = {"qty": "integer", "updated": "text"}
STOCK: dict[str, Any] = {
    "A1": {"qty": 3, "name": "mug", "tags": ["red", "new"], "address": {"city": "Köln"}, "order": 1, "end": "x"},
    "B2": {"qty": 7, "name": "red mug", "Größe": "L", "group": None, "sold": True},
    "C3": {"qty": None, "name": "it's", 'a"b': 1, "back\\slash": 2, "": 3, "two\nlines": 4, "a.b": 5},
    "D4": {"updated": "2026", "Sold": 1, "price": 10.5},
    "E5": [1, 2],
    "F6": "text",
}


def make_view(path: Path, rows: Mapping[str, Any], columns: Mapping[str, str] = COLUMNS, name: str = "stock") -> str:
    """Make a view's file with these rows, as folding does."""
    file = ViewFile.create(str(path), name, columns, BEGINNING)
    with file.transaction(BEGINNING):
        changes = [RowChange(key, dump(value), n, n + 10) for n, (key, value) in enumerate(rows.items(), 1)]
        file.save(changes, BEGINNING._replace(position=len(rows)))
    file.finish(columns)
    return str(path)


@pytest.fixture
def stock(tmp_path: Path) -> str:
    return make_view(tmp_path / "stock.sqlite", STOCK)


@pytest.fixture
def connection(stock: str) -> Iterator[sqlite3.Connection]:
    with closing(open_readonly(stock)) as connection:
        yield connection


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, without what SQLite keeps beside one that is open."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def keys(connection: sqlite3.Connection, where: str | None = None, /, **query: Any) -> str:
    """Return the keys' letters of the rows that a query selects."""
    params = query.pop("params", {})
    found = select_rows(connection, "stock", COLUMNS, RowQuery(where, params, **query))
    return "".join(row.key[0] for row in found)


def ask(files: Mapping[str, str], sql: str, **params: SqlValue) -> list[tuple[Any, ...]]:
    return list(run_sql(files, sql, params).rows)


def test_all_rows_come_by_key_with_their_value_as_it_is(connection: sqlite3.Connection) -> None:
    rows = list(select_rows(connection, "stock", COLUMNS, RowQuery()))
    assert [row.key for row in rows] == list(STOCK)
    assert [json.loads(row.value) for row in rows] == list(STOCK.values())
    assert [row[2:] for row in rows] == [(n, n + 10) for n in range(1, 7)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("qty < 5", "A"),
        ("QTY < 5", "A"),
        ("stock.qty < 5", "A"),
        ("qty < 5 or updated > '2025'", "AD"),
        ("qty is null", "CDEF"),
        ("name = 'mug'", "A"),
        ("name like '%mug' and qty > 3", "B"),
        ("name LIKE 'MUG' or name like 'it%'", "AC"),
        ("name = 'it''s'", "C"),
        ("\"name\" = 'mug'", "A"),
        ("`name` = 'mug' or [name] = 'red mug'", "AB"),
        ("price = 10.5", "D"),
        ("Größe = 'L'", "B"),
        ("größe = 'L'", ""),
        ("sold", "B"),
        ("sold = true", "B"),
        ("Sold", "D"),
        ('"order" = 1 and "end" = \'x\'', "A"),
        ("end = 'x'", "A"),
        ('"group" is null and "null" is null', "ABCDEF"),
        ('"a""b" = 1', "C"),
        ('[back\\slash] = 2 and "" = 3 and "two\nlines" = 4 and "a.b" = 5', "C"),
        ("missing is null", "ABCDEF"),
        ("missing", ""),
        ("null", ""),
        ("true", "ABCDEF"),
        ("rowid is null and oid is null", "ABCDEF"),
        ("length(name) = 3 -- a mug", "A"),
        ("length(name) = 3 /* a mug ) */", "A"),
        ("-- first\nqty < 5", "A"),
        ("max(qty, 5) > 5 or MAX(qty, 1) = 3", "AB"),
        ("cast(qty as TEXT) = '3' and cast(name as text) = 'mug'", "A"),
        ("case when qty < 5 THEN name = 'mug' else qty = 7 end", "AB"),
        ("qty between 3 and 7", "AB"),
        ("qty in (3, 7) and (name, qty) = ('mug', 3)", "A"),
        ("json_extract(value, '$.address.city') = 'Köln'", "A"),
        ("exists (select 1 from json_each(tags) where value = 'red')", "A"),
        ("'red' in (select value from json_each(stock.tags))", "A"),
        ("exists (select 1 from json_tree(stock.value) where atom = 'Köln')", "A"),
        ("qty = (select max(qty) from stock)", "B"),
        ("key > 'D' and version = 5 and position = 15", "E"),
        ("json_type(value) = 'text'", "F"),
        ("name = ')' or name = ';' or name = '--'", ""),
        ('tags = \'["red","new"]\'', "A"),
    ],
)
def test_an_expression_selects_rows(connection: sqlite3.Connection, where: str, found: str) -> None:
    assert keys(connection, where) == found


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "--where is empty"),
        (" -- nothing", "--where is empty"),
        ("1) union select 1, 2, 3, 4 from (select 1", "')' ends it"),
        ("1); delete from stock where (1", "')' ends it"),
        ("1; delete from stock", "';' ends it"),
        (")(", "')' ends it"),
        ("(qty < 5", "a parenthesis is not closed"),
        ("qty < 5 /*", "a comment is not closed"),
        ("name = 'mug", "a text is not closed"),
        ('name = "mug', "a name is not closed"),
        ("qty < :few", ":few has no value; give it one: --param few=text"),
        ("qty < ?", "no parameter"),
        ("qty <", "syntax error"),
        ("qty < 5 qty", "syntax error"),
        ("qty < 5 order by qty", "syntax error"),
        ("order = 1", 'written in "double quotes"'),
        ("nofun(qty)", "no such function: nofun"),
        ("count(*) > 1", "misuse of aggregate"),
        ("row_number() over () = 1", "misuse of window function"),
        ("address.city = 'Köln'", "json_extract(value, '$.address.city')"),
        ("address.city.zip = 1", "json_extract(value, '$.address.city.zip')"),
        ("a.b.c.d = 1", "json_extract(value, '$.a.b.c.d')"),
        ("Sold or sold", "json_extract(value, '$.Sold')"),
        ('"Sold" = \'x\' or sold', "json_extract(value, '$.Sold')"),
        ('"true" = 1', "json_extract(value, '$.true')"),
        ("json_extract(name, '$.a')", "malformed JSON"),
        ("qty < 1 limit 'a'", "syntax error"),
        ("(qty, name)", "row value misused"),
        ("exists (delete from stock)", "syntax error"),
        ("exists (pragma database_list)", "syntax error"),
        ("load_extension('x')", "load_extension() is not allowed"),
        ("exists (select 1 from sqlite_master)", "reading sqlite_master is not allowed"),
        ("exists (select 1 from evcli_checkpoint)", "reading evcli_checkpoint is not allowed"),
        ("exists (select 1 from pragma_database_list)", "is not allowed"),
        ("exists (select 1 from t)", "no such table: t"),
        ("hex(zeroblob(2000000000)) = ''", "too big"),
        ("qty = \\1", "unrecognized token"),
        ("qty\0 = 1", "NUL"),
        ("qty = '\udcff'", "not UTF-8"),
        ("qty" + " + qty" * 3000, "too large"),
    ],
)  # fmt: skip
def test_what_is_no_expression_over_a_row_is_a_usage_error(
    connection: sqlite3.Connection, where: str, told: str
) -> None:
    with pytest.raises(Usage) as caught:
        keys(connection, where)
    assert told in str(caught.value)
    assert caught.value.hint


def test_values_are_parameters_and_never_sql(connection: sqlite3.Connection) -> None:
    assert keys(connection, "name = :name", params={"name": "it's"}) == "C"
    assert keys(connection, "name = :name", params={"name": "mug' or 1 or '"}) == ""
    assert keys(connection, "qty < :few or price = :price", params={"few": 5, "price": 10.5}) == "AD"
    assert keys(connection, "sold = :yes and (:no is null)", params={"yes": True, "no": None}) == "B"
    assert keys(connection, "name = :größe", params={"größe": "mug"}) == "A"


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"few": 5, "fwe": 5}, "there is no :fwe"),
        ({"few": 1 << 63}, "too large"),
        ({"few": [5]}, "no single value but an array"),
        ({"few": "\udcff"}, "not UTF-8"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_a_usage_error(
    connection: sqlite3.Connection, params: Any, told: str
) -> None:
    with pytest.raises(Usage, match=told):
        keys(connection, "qty < :few", params=params)


def test_parameters_without_an_expression_are_a_usage_error(connection: sqlite3.Connection) -> None:
    with pytest.raises(Usage, match="there is no :few"):
        keys(connection, params={"few": 5})


def test_rows_are_sorted_by_columns_and_members_and_then_by_key(connection: sqlite3.Connection) -> None:
    assert keys(connection, sort=("qty",)) == "CDEFAB"
    assert keys(connection, sort=("-qty",)) == "BACDEF"
    assert keys(connection, sort=("-QTY", "-key")) == "BAFEDC"
    assert keys(connection, sort=("name",)) == "DEFCAB"
    assert keys(connection, sort=("-Größe", "-price")) == "BDACEF"
    assert keys(connection, sort=('-"a.b"', "-[sold]", '-"order"', '-"a""b"')) == "CBADEF"
    assert keys(connection, "Sold or qty", sort=("-sold",)) == "BAD"


@pytest.mark.parametrize(
    "name", ["", "-", "qty desc", "qty, name", "address.city", "1", "qty; delete from stock", "'a'"]
)
def test_what_is_no_name_cannot_be_sorted_by(connection: sqlite3.Connection, name: str) -> None:
    with pytest.raises(Usage, match="is not one name"):
        keys(connection, sort=(name,))


def test_a_limit_takes_the_first_rows(connection: sqlite3.Connection) -> None:
    assert keys(connection, limit=0) == ""
    assert keys(connection, limit=2, sort=("-qty",)) == "BA"
    assert keys(connection, "qty > 0", limit=100) == "AB"
    for limit in (-1, 1 << 63):
        with pytest.raises(Usage, match="no number of rows"):
            keys(connection, limit=limit)


def plan_of(connection: sqlite3.Connection, query: RowQuery) -> str:
    """Return SQLite's plan for what a query runs."""
    run: list[str] = []
    connection.set_trace_callback(run.append)
    list(select_rows(connection, "stock", COLUMNS, query))
    connection.set_trace_callback(None)
    return " / ".join(row[3] for row in connection.execute(f"explain query plan {run[-1]}"))


def test_the_indexes_of_columns_and_key_are_used(connection: sqlite3.Connection) -> None:
    for where in (
        "qty < 5",
        "qty > 5 and name like '%mug%'",
        "name like '%mug%' and QTY in (3, 7)",
        'qty = 7 and "a""b" = 1',
    ):
        plan = plan_of(connection, RowQuery(where))
        assert "SEARCH t USING INDEX evcli by qty" in plan, where
    assert plan_of(connection, RowQuery("qty < 5 or updated = '2026'")).count("SEARCH t USING INDEX evcli by") == 2
    assert "(key=?)" in plan_of(connection, RowQuery("key = :key and name = 'mug'", {"key": "A1"}))
    assert "SCAN t USING INDEX evcli by qty" in plan_of(connection, RowQuery(sort=("-qty",), limit=10))


def test_rows_are_not_sorted_where_they_are_gone_through_by_key(connection: sqlite3.Connection) -> None:
    assert "TEMP B-TREE" not in plan_of(connection, RowQuery("name = 'mug'"))
    assert "TEMP B-TREE" not in plan_of(connection, RowQuery())


def test_a_name_is_the_same_whether_it_is_declared_or_not(tmp_path: Path) -> None:
    queries = ["qty < 5", "qty > 5 or updated >= '2026'", "updated is null", "qty + 1 = 4", "updated like '2%'"]
    found = []
    for number, columns in enumerate([{}, {"qty": "integer"}, COLUMNS]):
        path = make_view(tmp_path / f"{number}.sqlite", STOCK, columns)
        with closing(open_readonly(path)) as connection:
            found.append([list(select_rows(connection, "stock", columns, RowQuery(where))) for where in queries])
    assert found[0] == found[1] == found[2]
    assert all(found[0])


def test_a_table_may_have_the_name_of_a_keyword(tmp_path: Path) -> None:
    path = make_view(tmp_path / "x.sqlite", STOCK, name="order-by")
    with closing(open_readonly(path)) as connection:
        [row] = select_rows(
            connection, "order-by", COLUMNS, RowQuery("\"order-by\".name = 'mug'", sort=("qty", "name"))
        )
    assert row.key == "A1"
    assert ask({"order-by": path}, 'select count(*) from "order-by"') == [(6,)]


def test_rows_come_one_by_one_and_the_connection_is_free_again_after_them(connection: sqlite3.Connection) -> None:
    rows = select_rows(connection, "stock", COLUMNS, RowQuery("qty"))
    assert next(rows).key == "A1"
    with pytest.raises(sqlite3.DatabaseError, match="prohibited"):
        connection.execute("select * from evcli_checkpoint")
    rows.close()  # type: ignore[attr-defined]  # a generator
    assert connection.execute("select position from evcli_checkpoint").fetchone() == (6,)
    assert count_rows(connection, "stock") == 6
    rows = select_rows(connection, "stock", COLUMNS, RowQuery("qty"))
    assert next(rows).key == "A1"
    connection.close()  # before the last row was read: no complaint
    del rows


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.integers(-(2**53), 2**53).map(lambda n: n / 4)
    | st.text("aAb é", max_size=3)
)
MEMBERS = SCALARS | st.lists(SCALARS.filter(lambda value: not isinstance(value, float)), max_size=2)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def comparable(value: Any) -> tuple[int, Any] | None:
    """Return what SQL compares a JSON value by: numbers before texts, NULL with nothing."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return (0, value)
    return (1, (value if isinstance(value, str) else dump(value).decode()).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.sampled_from(["m", "M", "other"]), MEMBERS) | MEMBERS, max_size=6),
    st.sampled_from(sorted(OPERATORS)),
    SCALARS,
)
def test_a_member_compares_as_its_value_does(tmp_path: Path, rows: list[Any], operator: str, param: SqlValue) -> None:
    path = tmp_path / "rows.sqlite"
    path.unlink(missing_ok=True)
    make_view(path, {f"{n}": row for n, row in enumerate(rows)}, {})
    other = comparable(param)
    expected = []
    for number, row in enumerate(rows):
        value = comparable(row.get("m")) if isinstance(row, dict) else None
        if value is not None and other is not None and OPERATORS[operator](value, other):
            expected.append(f"{number}")
    with closing(open_readonly(str(path))) as connection:
        found = select_rows(connection, "stock", [], RowQuery(f"m {operator} :p", {"p": param}))
        assert [row.key for row in found] == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6))
@example('"')
@example("\\")
@example("\\u0061")
@example("$.a[0]")
@example("\x7f\u2028")
@example("select")
def test_a_member_of_any_name_is_found_by_it(tmp_path: Path, name: str) -> None:
    if name.lower() in ("key", "value", "version", "position", "true", "false"):
        return
    path = tmp_path / "rows.sqlite"
    path.unlink(missing_ok=True)
    make_view(path, {"with": {name: 7, "x" + name: 8}, "without": {"y" + name: 7}}, {})
    quoted = '"' + name.replace('"', '""') + '"'
    with closing(open_readonly(str(path))) as connection:
        for query in (RowQuery(f"{quoted} = 7"), RowQuery(sort=(f"-{quoted}",), limit=1)):
            assert [row.key for row in select_rows(connection, "stock", [], query)] == ["with"]


# statements


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Make two views, in a folder whose name means something in a URI."""
    folder = tmp_path / "a ?b#c%41 ü"
    folder.mkdir()
    price = {"A1": {"euro": 2.5}, "B2": {"euro": 9}}
    return {
        "stock": make_view(folder / "stock.sqlite", STOCK),
        "my-prices": make_view(folder / "prices.sqlite", price, {"euro": "real"}, "my-prices"),
    }


def test_a_statement_sees_each_view_as_a_table(files: dict[str, str]) -> None:
    answer = run_sql(
        files,
        'select s.key, qty * euro as total from Stock s join "my-prices" p using (key) where qty < :few;',
        {"few": 5},
    )
    assert answer.columns == ("key", "total")
    assert list(answer.rows) == [("A1", 7.5)]
    answer = run_sql(files, "select * from stock where key = 'D4'", {})
    assert answer.columns == ("key", "value", "version", "position", "qty", "updated")
    assert list(answer.rows) == [("D4", '{"updated":"2026","Sold":1,"price":10.5}', 4, 14, None, "2026")]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select 1", [(1,)]),
        ("values (1, 'a'), (null, 2.5)", [(1, "a"), (None, 2.5)]),
        ("select count(*) from stock", [(6,)]),
        ("select sum(qty) from stock where 0", [(None,)]),
        ("select key from stock where 0", []),
        ("with q as (select qty from stock where qty) select max(qty) from q", [(7,)]),
        ("with recursive n(x) as (select 1 union all select x + 1 from n limit 3) select * from n", [(1,), (2,), (3,)]),
        ("select value from json_each('[\"a\"]')", [("a",)]),
        ("select j.value from stock, json_each(stock.value, '$.tags') j", [("red",), ("new",)]),
        ("select key, rank() over (order by qty desc) from stock limit 1", [("B2", 1)]),
        ("select 1 union select 2 except select 1", [(2,)]),
        ("select group_concat(key, ';') from stock where qty", [("A1;B2",)]),
        ("select cast(x'ff41' as text)", [("\ufffdA",)]),
        ("SELECT/**/1;;-- done;", [(1,)]),
    ],
)
def test_a_statement_is_answered(files: dict[str, str], sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert ask(files, sql) == rows


def test_columns_of_the_same_name_are_told_apart(files: dict[str, str]) -> None:
    assert run_sql(files, 'select a.key, b.key, 1 as "key:1", a.key from stock a, stock b', {}).columns == (
        "key",
        "key:1",
        "key:1:1",
        "key:2",
    )


def test_the_indexes_of_views_are_used(files: dict[str, str]) -> None:
    [(*_, plan)] = ask(files, "explain query plan select key from stock where qty = 5")
    assert plan == "SEARCH view0.stock USING INDEX evcli by qty (qty=?)"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("", "there is no statement"),
        (" ; -- select 1", "there is no statement"),
        ("select 1; select 2", "takes one statement"),
        ("select 1; drop table stock", "takes one statement"),
        ("slect 1", "slect is not allowed"),
        ("insert into stock (key) values ('X')", "insert is not allowed"),
        ("delete from stock", "delete is not allowed"),
        ("update stock set key = 'X'", "update is not allowed"),
        ("replace into stock (key) values ('X')", "replace is not allowed"),
        ("drop table stock", "drop is not allowed"),
        ("alter table stock rename to s", "alter is not allowed"),
        ("create table t (a)", "create is not allowed"),
        ("create temp table t (a)", "create is not allowed"),
        ("create virtual table t using fts5(a)", "create is not allowed"),
        ("attach 'evil.sqlite' as evil", "attach is not allowed"),
        ("detach view0", "detach is not allowed"),
        ("vacuum into 'evil.sqlite'", "vacuum is not allowed"),
        ("pragma database_list", "pragma is not allowed"),
        ("pragma view0.journal_mode = delete", "pragma is not allowed"),
        ("analyze", "analyze is not allowed"),
        ("reindex", "reindex is not allowed"),
        ("begin", "begin is not allowed"),
        ("commit", "commit is not allowed"),
        ("savepoint a", "savepoint is not allowed"),
        ("with x as (select 1) insert into view0.stock (key) values ('X')", "is not allowed"),
        ("with x as (select 1) delete from view0.stock", "is not allowed"),
        ("with x as (select 1) update view0.stock set key = 'X'", "is not allowed"),
        ("with x as (select 1) delete from stock returning key", "query sql"),
        ("explain create table t (a)", "is not allowed"),
        ("explain delete from view0.stock", "is not allowed"),
        ("explain attach 'evil.sqlite' as evil", "is not allowed"),
        ("select * from pragma_database_list", "is not allowed"),
        ("select * from pragma_table_info('stock')", "is not allowed"),
        ("select file from pragma_database_list()", "is not allowed"),
        ("select * from pragma_journal_mode('delete')", "query sql"),
        ("select * from dbstat", "query sql"),
        ("select data from sqlite_dbpage", "query sql"),
        ("select * from sqlite_master", "reading sqlite_master is not allowed"),
        ("select * from sqlite_temp_master", "is not allowed"),
        ("select * from view0.sqlite_schema", "is not allowed"),
        ("select * from evcli_checkpoint", "reading evcli_checkpoint is not allowed"),
        ("select load_extension('evil.so')", "load_extension() is not allowed"),
        ("select fts3_tokenizer('simple')", "query sql"),
        ("select readfile('secret')", "query sql"),
        ("select writefile('evil', 'x')", "query sql"),
        ("select * from fsdir('.')", "query sql"),
        ("select * from stok", "no such table: stok; see what views there are: evcli view list"),
        ("select name from stock", "json_extract(value, '$.name')"),
        ("select key from stock where", "incomplete input"),
        ("select :few", ":few has no value"),
        ("select 'a' limit 'b'", "datatype mismatch"),
        ("select x'00' as b", "column 'b' holds a blob"),
        ("select 9e999 as big", "column 'big' holds an infinite number"),
        ("select -9e999", "infinite"),
        ("select json('{')", "malformed JSON"),
        ("select 1 /*", "a comment is not closed"),
    ],
)  # fmt: skip
def test_a_statement_that_does_not_read_views_is_a_usage_error(
    files: dict[str, str], sql: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("secret")
    folders = (tmp_path, Path(files["stock"]).parent)
    before = [contents(folder) for folder in folders]
    with pytest.raises(Usage) as caught:
        ask(files, sql)
    assert told in str(caught.value)
    assert caught.value.hint
    assert [contents(folder) for folder in folders] == before


@pytest.mark.parametrize("path", ["secret.sqlite", "file:secret.sqlite", "/etc/passwd"])
def test_no_other_file_can_be_read(
    files: dict[str, str], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_view(tmp_path / "secret.sqlite", {"s": {"secret": 1}}, {}, "secret")
    with closing(open_readonly(files["stock"])) as connection:
        for sql in (
            f"attach '{path}' as s",
            f"select * from '{path}'",  # noqa: S608
            f'select * from "{path}"."secret"',  # noqa: S608
            "select * from secret",
            f"select load_extension('{path}')",
            f"select readfile('{path}')",
        ):
            with pytest.raises(Usage):
                ask(files, sql)
            with pytest.raises(Usage):
                keys(connection, f"exists ({sql})")


def test_more_views_than_sqlite_attaches_are_a_usage_error(files: dict[str, str]) -> None:
    many = {f"v{number}": files["stock"] for number in range(11)}
    with pytest.raises(Usage, match="11 views, and 10 are the most"):
        ask(many, "select 1")


def test_the_views_of_a_statement_are_found_by_its_names() -> None:
    names = ["stock", "my-prices", "Orders", "key"]
    assert views_in('select * from STOCK join "my-prices" using (key)', names) == ["stock", "my-prices", "key"]
    assert views_in("select * from [orders], `my-prices`", names) == ["my-prices", "Orders"]
    assert views_in("select 'stock', my-prices from x -- orders\n", names) == []
    with pytest.raises(Usage):
        views_in("select 'stock", names)


def test_rows_of_a_statement_come_as_they_are_found() -> None:
    endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n"
    rows = run_sql({}, endless, {}).rows
    assert list(islice(rows, 3)) == [(1,), (2,), (3,)]
    rows.close()  # type: ignore[attr-defined]  # a generator


def test_a_statement_reads_while_somebody_writes(files: dict[str, str]) -> None:
    with closing(sqlite3.connect(files["stock"], isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from stock")
        assert ask(files, "select count(*) from stock") == [(6,)]
        writer.execute("commit")
    assert ask(files, "select count(*) from stock") == [(0,)]


LONG = "with recursive n(x) as (select 1 union all select x + 1 from n) select sum(x) from n"


@pytest.mark.parametrize(
    "query",
    [
        f"run_sql({{}}, {LONG!r}, {{}})",
        f"list(select_rows(open_readonly(sys.argv[1]), 'stock', [], RowQuery({f'({LONG})'!r})))",
    ],
)
def test_ctrl_c_stops_a_long_query(stock: str, query: str) -> None:
    asked = f"""\
import sys
from evcli.storage.view_file import open_readonly
from evcli.storage.view_sql import RowQuery, run_sql, select_rows
print('go', flush=True)
{query}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", asked, stock], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()  # it would go on for ever
    assert told.splitlines()[-1] == "KeyboardInterrupt"


def test_a_damaged_file_is_no_fault_of_the_users_sql(tmp_path: Path) -> None:
    many = {f"{number:05}": {"qty": number, "text": "x" * 50} for number in range(2000)}
    path = Path(make_view(tmp_path / "stock.sqlite", many))
    sound = path.read_bytes()
    half = len(sound) // 2
    for damaged in (
        sound[:half] + b"\xff" * 4096 * 4 + sound[half + 4096 * 4 :],
        b"nonsense" + sound[8:],
        sound[:half],
        sound[:100] + b"\xff" * 3000 + sound[3100:],
    ):
        path.write_bytes(damaged)
        with closing(open_readonly(str(path))) as connection, pytest.raises(sqlite3.DatabaseError):
            list(select_rows(connection, "stock", COLUMNS, RowQuery("text = 'x'")))
        with pytest.raises(StorageFailed, match="of stock is damaged, and was deleted"):
            ask({"stock": str(path)}, "select sum(length(value)) from stock")
        assert not path.exists()
