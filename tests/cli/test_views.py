"""The commands that look after views, as their users meet them."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.driving import Evcli
from tests.read_side.viewing import STOCK


@pytest.fixture
def shop(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    configure(tmp_path, monkeypatch)
    lines = [
        {"stream": "inventory/x", "type": "item.received", "data": {"sku": sku, "qty": qty}}
        for sku, qty in (("A", 1), ("B", 20))
    ]
    evcli.ok("append", "--from", "-", stdin="\n".join(map(json.dumps, lines)).encode())
    return evcli


def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str = STOCK) -> None:
    (tmp_path / "evcli.toml").write_text(text)
    monkeypatch.setenv("EVCLI_CONFIG", str(tmp_path / "evcli.toml"))


def poison(shop: Evcli) -> None:
    shop.ok("append", "inventory/x", "item.received", "sku=A", "qty=many")


def test_list_says_how_each_view_stands(shop: Evcli) -> None:
    [before] = shop.ok("view", "list").lines
    assert (before["view"], before["state"], before["lag"]) == ("stock", "not built", 2)
    shop.ok("work", "--once")
    shop.ok("append", "inventory/x", "item.received", "sku=C", "qty:=1")
    [after] = shop.ok("view", "list").lines
    assert (after["state"], after["position"], after["lag"], after["rows"]) == ("behind", 2, 1, 2)
    assert after["lag_seconds"] > 0
    assert after["size"] > 0
    assert shop.ok("view", "list", "-o", "table").out.split(b"\n")[0].startswith(b"view   state   position  lag")


def test_list_without_views_is_empty(evcli: Evcli) -> None:
    evcli.ok("append", "a", "b")
    assert evcli.ok("view", "list").out == b""


def test_status_names_the_event_that_a_view_is_parked_at(shop: Evcli) -> None:
    poison(shop)
    message = shop.fails(69, "query", "get", "stock", "A")
    assert "inventory/x@3" in message
    assert "evcli view skip stock" in message
    status = shop.ok("view", "status", "stock").json
    assert status["state"] == "parked"
    assert (status["parked"]["stream"], status["parked"]["version"], status["parked"]["position"]) == (
        "inventory/x",
        3,
        3,
    )
    assert "inc takes a number" in status["parked"]["problem"]
    assert shop.ok("query", "get", "stock", "A", "/qty", "--cached").json == 1


def test_skip_and_retry_end_it(shop: Evcli) -> None:
    poison(shop)
    shop("query", "get", "stock", "A")
    assert "inventory/x@3" in shop.fails(69, "view", "retry", "stock")
    planned = shop.ok("view", "skip", "stock", "--dry-run").json
    assert planned == {"view": "stock", "stream": "inventory/x", "version": 3, "position": 3, "skipped": False}
    shop.fails(69, "query", "get", "stock", "A")
    assert shop.ok("view", "skip", "stock").json["skipped"] is True
    assert shop.ok("query", "get", "stock", "A", "/qty").json == 1
    assert "not parked" in shop.fails(4, "view", "skip", "stock")
    assert "not parked" in shop.fails(4, "view", "retry", "stock")


def test_rebuild_compares_before_it_switches(shop: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no file to compare" in shop.fails(4, "view", "rebuild", "stock", "--compare")
    assert shop.ok("view", "rebuild", "stock").json == {"view": "stock", "folded": 2, "switched": True}
    shop.ok("view", "rebuild", "stock", "--compare")
    configure(tmp_path, monkeypatch, STOCK.replace('inc = { qty = "/data/qty" }, set', "inc = { qty = 1 }, set"))
    for options in (["--dry-run"], []):
        found = shop("view", "rebuild", "stock", "--compare", *options)
        assert found.code == 1
        [difference] = found.lines
        assert (difference["key"], difference["old"]["qty"], difference["new"]["qty"]) == ("B", 20, 1)
    assert "view rollback stock" in found.err
    assert shop.ok("query", "get", "stock", "B", "/qty", "--cached").json == 1


def test_rollback_goes_back_and_says_for_how_long(shop: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.ok("work", "--once")
    assert "no file before" in shop.fails(4, "view", "rollback", "stock")
    configure(tmp_path, monkeypatch, STOCK.replace('inc = { qty = "/data/qty" }, set', "inc = { qty = 1 }, set"))
    shop.ok("work", "--once")
    assert b"stays as it is until evcli.toml changes" in shop.ok("view", "rollback", "stock", "-o", "table").out
    assert shop.ok("query", "get", "stock", "B", "/qty").json == 20
    assert shop.ok("view", "status", "stock").json["state"] == "rolled back"


def test_drop_deletes_the_files_and_changes_no_answer(shop: Evcli) -> None:
    before = shop.ok("query", "rows", "stock").out
    shop.ok("view", "drop", "stock")
    assert shop.ok("view", "status", "stock").json["state"] == "not built"
    assert "nothing of view stock is cached" in shop.fails(4, "query", "rows", "stock", "--cached")
    assert shop.ok("query", "rows", "stock").out == before


def test_path_is_that_of_a_file_for_any_sqlite_tool(shop: Evcli) -> None:
    path = shop.ok("view", "path", "stock").out.decode().rstrip("\n")
    database = sqlite3.connect(path)
    assert database.execute("select key, qty from stock order by key").fetchall() == [("A", 1), ("B", 20)]
    database.close()
    assert shop.ok("query", "rows", "stock", "--explain", "-o", "json").err.count('"rebuilt":""') == 1


@pytest.mark.parametrize(
    "words",
    [
        ["query", "get", "none", "A"],
        ["query", "rows", "none"],
        ["view", "status", "none"],
        ["view", "rebuild", "none"],
        ["view", "drop", "none"],
    ],
)
def test_a_view_that_is_not_there_is_exit_4_and_names_those_that_are(shop: Evcli, words: list[str]) -> None:
    message = shop.fails(4, *words)
    assert "no view none" in message
    assert "stock" in message


def test_a_view_needs_a_store(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, monkeypatch)
    for words in (["query", "get", "stock", "A"], ["view", "list"], ["work", "--once"], ["view", "drop", "stock"]):
        assert "store" in evcli.fails(4, *words)


def test_what_an_answer_took_is_explained_on_standard_error(shop: Evcli) -> None:
    found = shop.ok("query", "rows", "stock", "--explain")
    assert len(found.lines) == 2
    header, row = found.err.splitlines()
    assert header.split() == ["view", "position", "lag", "folded", "milliseconds", "rebuilt"]
    assert row.split()[:4] == ["stock", "2", "0", "2"]
    assert row.endswith("first use")
