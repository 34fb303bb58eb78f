"""The ``[views.NAME]`` tables: what they may say, and what rows they make of events."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.events import Event
from evcli.domain.views import RowReducer
from evcli.errors import BadConfig, CodeFailed, NotFound, NotTrusted
from evcli.project.config import Config, load_config
from evcli.project.trust import trust

RULES = """\
[views.stock]
from = ["inventory/**"]
key = "/data/sku"
columns = { qty = "integer", updated = "text" }
[views.stock.on]
"item.received" = { inc = { qty = "/data/qty" }, set = { updated = "/time" } }
"item.reset" = "reset"
"item.retired" = "delete"
"""
PYTHON = """\
import names

types = ["item.*"]


def key(event):
    return event["data"].get("skus")


def evolve(row, event):
    if event["data"].get("gone"):
        return None
    row = row or {"seen": 0}
    row["seen"] += names.STEP
    return row
"""
COUNT_IN_JQ = "exec:jq -cn 'input as $r | reduce inputs as $c ($r; .[$c.key].n += $c.event.data.qty)'"
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed here")


def event(data: Any, kind: str = "item.received", position: int = 1, stream: str = "inventory/x") -> Event:
    time = "2026-11-23T08:00:00.000000Z"
    return Event(position=position, stream=stream, version=position, time=time, type=kind, data=data)


def configure(folder: Path, text: str) -> Config:
    (folder / "evcli.toml").write_text(text)
    return load_config(str(folder / "evcli.toml"), state_root=str(folder / "state"))


def rows_after(reducer: RowReducer, *events: Event, rows: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fold events into rows as a view does, and return the rows that are there."""
    found = dict(rows or {})
    changes = reducer.changes(events)
    found |= {key: found.get(key) for _, keys in changes for key in keys}
    reducer.fold(found, changes)
    return {key: row for key, row in found.items() if row is not None}


def problem(folder: Path, text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        configure(folder, text)
    return f"{caught.value.facts['line']}: {caught.value.facts['key']}: {caught.value.message}"


def test_a_table_of_rules_is_a_view(tmp_path: Path) -> None:
    [view] = configure(tmp_path, RULES).views
    assert (view.name, view.patterns, view.columns) == (
        "stock",
        ("inventory/**",),
        {"qty": "integer", "updated": "text"},
    )
    assert view.describe() == "rules, key /data/sku"
    first, second = event({"sku": "A", "qty": 2}), event({"sku": "A", "qty": 3})
    assert rows_after(view.load(), first, second) == {"A": {"qty": 5, "updated": first["time"]}}


def test_delete_takes_a_row_away_and_reset_makes_it_new(tmp_path: Path) -> None:
    reducer = configure(tmp_path, RULES.replace("columns", "initial = { qty = 7 }\ncolumns")).view("stock").load()
    rows = rows_after(reducer, event({"sku": "A", "qty": 2}), event({"sku": "B", "qty": 2}))
    assert rows["A"]["qty"] == 9
    rows = rows_after(reducer, event({"sku": "A"}, "item.retired"), event({"sku": "B"}, "item.reset"), rows=rows)
    assert rows == {"B": {"qty": 7}}
    assert rows_after(reducer, event({"sku": "Z"}, "item.retired"), event({"sku": "Y"}, "item.ignored")) == {}


@pytest.mark.parametrize(
    ("sku", "keys"),
    [
        ("A", {"A"}),
        (7, {"7"}),
        (["A", "B", "A", 3], {"A", "B", "3"}),
        ([], set()),
        (None, set()),
        ("", {""}),
        ("ключ", {"ключ"}),
    ],
)
def test_a_key_is_a_text_or_a_whole_number_or_several_or_none(tmp_path: Path, sku: Any, keys: set[str]) -> None:
    reducer = configure(tmp_path, RULES).view("stock").load()
    assert rows_after(reducer, event({"sku": sku, "qty": 1})).keys() == keys


def test_an_event_without_the_key_concerns_no_row(tmp_path: Path) -> None:
    reducer = configure(tmp_path, RULES).view("stock").load()
    assert reducer.changes([event({"qty": 1}), event("text"), event(None)]) == []


@pytest.mark.parametrize("sku", [1.5, True, {"a": 1}, [["A"]], [None]])
def test_what_is_no_key_fails_on_its_event(tmp_path: Path, sku: Any) -> None:
    reducer = configure(tmp_path, RULES).view("stock").load()
    with pytest.raises(
        CodeFailed, match=r"the view's key failed on inventory/x@4 .*a string or a whole number"
    ) as found:
        reducer.changes([event({"sku": "A"}), event({"sku": sku}, position=4)])
    assert found.value.facts == {"stream": "inventory/x", "version": 4, "position": 4}


def test_streams_may_be_the_keys(tmp_path: Path) -> None:
    for spelled in ("stream", "/stream"):
        reducer = configure(tmp_path, RULES.replace("/data/sku", spelled)).view("stock").load()
        assert rows_after(reducer, event({"qty": 1})).keys() == {"inventory/x"}


def test_a_built_in_reducer_folds_rows(tmp_path: Path) -> None:
    text = '[views.v]\nfrom = "**"\nkey = "/data/sku"\nreducer = "{}"\n'
    given_events = event({"sku": "A", "qty": 2}), event({"sku": "A", "more": 1})
    results = {
        name: rows_after(configure(tmp_path, text.format(name)).view("v").load(), *given_events)["A"]
        for name in ("merge", "count", "last", "list")
    }
    assert results == {
        "merge": {"sku": "A", "qty": 2, "more": 1},
        "count": 2,
        "last": {"sku": "A", "more": 1},
        "list": [{"sku": "A", "qty": 2}, {"sku": "A", "more": 1}],
    }


@pytest.fixture
def python(tmp_path: Path) -> Path:
    (tmp_path / "seen.py").write_text(PYTHON)
    (tmp_path / "names.py").write_text("STEP = 1\n")
    (tmp_path / "evcli.toml").write_text('[views.seen]\nfrom = "**"\nreducer = "seen.py"\n')
    return tmp_path


def load(folder: Path) -> Config:
    return load_config(str(folder / "evcli.toml"), state_root=str(folder / "state"))


def test_a_python_file_says_keys_rows_and_types(python: Path) -> None:
    trust(str(python), str(python / "state"))
    reducer = load(python).view("seen").load()
    rows = rows_after(
        reducer, event({"skus": ["A", "B"]}), event({"skus": "A"}), event({"skus": "A"}, "other"), event({"skus": None})
    )
    assert rows == {"A": {"seen": 2}, "B": {"seen": 1}}
    assert rows_after(reducer, event({"skus": "A", "gone": 1}), rows=rows) == {"B": {"seen": 1}}


def test_a_python_file_runs_only_when_it_is_trusted(python: Path) -> None:
    with pytest.raises(NotTrusted):
        load(python).view("seen").load()


def test_a_failing_python_file_names_the_event_and_its_line(python: Path) -> None:
    trust(str(python), str(python / "state"))
    reducer = load(python).view("seen").load()
    with pytest.raises(CodeFailed, match=r"the view failed on inventory/x@5 .*TypeError.*seen\.py:14") as found:
        rows_after(reducer, event({"skus": "A"}, position=5), rows={"A": {"seen": "text"}})
    assert found.value.facts["position"] == 5
    (python / "seen.py").write_text(
        "def key(event):\n    return event['nothing']\n\n\ndef evolve(row, event):\n    pass\n"
    )
    with pytest.raises(CodeFailed, match=r"the view's key failed on .*KeyError.*seen\.py:2"):
        load(python).view("seen").load().changes([event({})])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def evolve(row, event): pass", "does not define key"),
        ("key = 'stream'\ndef evolve(row, event): pass", "key is not a function"),
        ("def key(event): pass", "does not define evolve"),
        ("def key(event): pass\ndef evolve(row, event): pass\ntypes = 'a'", "types is not a list"),
        ("def key(event:\n", "SyntaxError"),
    ],
)
def test_a_python_file_that_is_none_is_told_of(python: Path, text: str, what: str) -> None:
    trust(str(python), str(python / "state"))
    (python / "seen.py").write_text(text)
    with pytest.raises(CodeFailed, match=what) as found:
        load(python).view("seen").load()
    assert "help views" in found.value.hint


def test_a_python_key_that_utf_8_cannot_write_fails_on_its_event(python: Path) -> None:
    trust(str(python), str(python / "state"))
    (python / "seen.py").write_text("def key(event): return 'A\\ud800'\ndef evolve(row, event): return 1\n")
    with pytest.raises(CodeFailed, match=r"the view's key failed on inventory/x@5 .*lone surrogate") as found:
        load(python).view("seen").load().changes([event({}, position=5)])
    assert found.value.facts == {"stream": "inventory/x", "version": 5, "position": 5}
    assert found.value.message.isprintable()


def test_forgetting_that_there_may_be_no_row_is_recognised(python: Path) -> None:
    trust(str(python), str(python / "state"))
    (python / "seen.py").write_text("def key(event): return 'A'\ndef evolve(row, event): row['n'] = 1; return row\n")
    with pytest.raises(CodeFailed, match="NoneType") as found:
        rows_after(load(python).view("seen").load(), event({}))
    assert "row = row or {}" in found.value.hint


def test_a_row_that_keeps_a_part_of_an_event_shares_it_with_nobody(python: Path) -> None:
    trust(str(python), str(python / "state"))
    (python / "seen.py").write_text(
        "def key(event): return event['data']['skus']\n"
        "def evolve(row, event):\n"
        "    row = row or event['data']\n"
        "    row['n'] = row.get('n', 0) + 1\n"
        "    return row\n"
    )
    reducer = load(python).view("seen").load()
    events = [event({"skus": ["A", "B"]}), event({"skus": ["A"]})]
    for _ in range(2):  # the same events again, as when a batch is folded in parts
        assert {key: row["n"] for key, row in rows_after(reducer, *events).items()} == {"A": 2, "B": 1}
    assert events == [event({"skus": ["A", "B"]}), event({"skus": ["A"]})]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('reducer = "lib/seen.py"', "lib/seen.py"),
        ('key = "stream"\nreducer = "exec: ./fold.sh "', "exec:./fold.sh, key stream"),
        ('key = "/data/sku"\nreducer = "last"', "last, key /data/sku"),
        ('key = "/data/sku"\non = {}', "rules, key /data/sku"),
    ],
)
def test_a_view_says_in_a_line_what_makes_its_rows(tmp_path: Path, table: str, told: str) -> None:
    assert configure(tmp_path, f'[views.v]\nfrom = "**"\n{table}\n').view("v").describe() == told


def exec_view(folder: Path, command: str) -> RowReducer:
    trust(str(folder), str(folder / "state"))
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return configure(folder, f'[views.v]\nfrom = "**"\nkey = "/data/sku"\nreducer = "{quoted}"\n').view("v").load()


@needs_jq
def test_a_program_folds_the_rows_it_is_given(tmp_path: Path) -> None:
    reducer = exec_view(tmp_path, COUNT_IN_JQ)
    events = [event({"sku": sku, "qty": qty}) for sku, qty in (("A", 1), ("B", 2), ("A", 3))]
    assert rows_after(reducer, *events, rows={"A": {"n": 10}, "Z": {}}) == {"A": {"n": 14}, "B": {"n": 2}, "Z": {}}
    many = [event({"sku": str(number % 7), "qty": 1}, position=number) for number in range(1, 2502)]
    assert sum(row["n"] for row in rows_after(reducer, *many).values()) == 2501


def test_a_program_deletes_a_row_by_leaving_it_out_or_by_null(tmp_path: Path) -> None:
    reducer = exec_view(tmp_path, "exec:cat > /dev/null; echo '{\"A\":null}'")
    given_events = event({"sku": "A"}), event({"sku": "B"})
    assert rows_after(reducer, *given_events, rows={"A": 1, "B": 2, "C": 3}) == {"C": 3}


@pytest.mark.parametrize("printed", ['{"Z":1}', "[]", "7", "no JSON", ""])
def test_a_program_that_prints_something_else_has_failed(tmp_path: Path, printed: str) -> None:
    reducer = exec_view(tmp_path, f"exec:cat > /dev/null; echo '{printed}'")
    with pytest.raises(CodeFailed) as found:
        rows_after(reducer, event({"sku": "A"}, position=3))
    assert found.value.facts == {"stream": "inventory/x", "version": 3, "position": 3}
    assert "inventory/x@3: " in found.value.message


def test_a_row_of_another_key_is_blamed_on_the_event_that_it_came_with(tmp_path: Path) -> None:
    (tmp_path / "fold.py").write_text(
        "import json, sys\n"
        "rows = json.loads(sys.stdin.readline())\n"
        "for change in map(json.loads, sys.stdin):\n"
        "    rows[change['event']['data'].get('to', change['key'])] = {}\n"
        "print(json.dumps(rows))\n"
    )
    reducer = exec_view(tmp_path, f"exec:{sys.executable} -I fold.py")
    events = [event({"sku": "A"} | ({"to": "C"} if number == 6 else {}), position=number) for number in range(1, 9)]
    with pytest.raises(CodeFailed, match=r"failed on inventory/x@6: it printed a row 'C'") as found:
        rows_after(reducer, *events)
    assert found.value.facts == {"stream": "inventory/x", "version": 6, "position": 6}


def test_a_program_is_given_the_rows_concerned_and_a_line_for_each_event_and_key(tmp_path: Path) -> None:
    reducer = exec_view(tmp_path, "exec:tee -a given | head -n 1")
    events = [event({"sku": ["A", "B"]}), event({"sku": "A"}, position=2), event({}, position=3)]
    assert rows_after(reducer, *events, rows={"A": {"n": 1.5}, "Z": 9}) == {"A": {"n": 1.5}, "Z": 9}
    rows, *changes = map(json.loads, (tmp_path / "given").read_text().splitlines())
    assert rows == {"A": {"n": 1.5}}
    assert changes == [
        {"key": "A", "event": events[0]},
        {"key": "B", "event": events[0]},
        {"key": "A", "event": events[1]},
    ]


def test_a_program_runs_only_when_it_is_trusted(tmp_path: Path) -> None:
    config = configure(tmp_path, '[views.v]\nfrom = "**"\nkey = "stream"\nreducer = "exec:touch ran; cat"\n')
    with pytest.raises(NotTrusted, match="touch ran"):
        config.view("v").load()
    assert not (tmp_path / "ran").exists()


@needs_jq
def test_a_program_that_fails_on_an_event_is_told_which(tmp_path: Path) -> None:
    reducer = exec_view(tmp_path, COUNT_IN_JQ)
    events = [event({"sku": "A", "qty": "many" if number == 13 else 1}, position=number) for number in range(1, 30)]
    with pytest.raises(CodeFailed, match="inventory/x@13") as found:
        rows_after(reducer, *events)
    assert found.value.facts["position"] == 13


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('from = ["inventory/**"]\n', "", "1: views.stock: .*says no streams"),
        ('["inventory/**"]', "[]", "2: views.stock.from: .*a list of names and patterns"),
        ('["inventory/**"]', "7", "2: views.stock.from"),
        ('["inventory/**"]', '["a b"]', "2: views.stock.from: .*a b"),
        ('["inventory/**"]', '["a/ü*"]', "2: views.stock.from"),
        ('key = "/data/sku"\n', "", "1: views.stock: .*needs a key"),
        ('"/data/sku"', '"sku"', "3: views.stock.key: .*JSON pointer"),
        ('"/data/sku"', '""', "3: views.stock.key: .*the key is empty"),
        ('"/data/sku"', "7", "3: views.stock.key: .*needs a key"),
        ('"/data/sku"', '"/sku"', '3: views.stock.key: .*perhaps it is "/data/sku"'),
        ('"integer"', '"int"', "4: views.stock.columns.qty: .*no type of a column"),
        ("updated =", "QTY =", "4: views.stock.columns.QTY: .*already"),
        ("updated =", "Value =", "4: views.stock.columns.Value: .*already"),
        ("updated =", "position =", "4: views.stock.columns.position: .*already"),
        ("updated =", "OID =", "4: views.stock.columns.OID: .*already"),
        ("updated =", "_RowId_ =", "4: views.stock.columns._RowId_: .*already"),
        ("updated =", "2nd =", "4: .*begins with no digit"),
        ('{ qty = "integer", updated = "text" }', '"qty"', "4: views.stock.columns: .*must be a table"),
        ('{ qty = "integer", updated = "text" }', "{ qty = [] }", "4: views.stock.columns.qty: .*no type"),
        ("updated =", "rowid =", "4: views.stock.columns.rowid: .*already"),
        ("updated =", '"a-b" =', "4: .*begins with no digit"),
        ('"delete"', '"remove"', '8: views.stock.on."item.retired": .*"reset" or "delete"'),
        ("inc =", "add =", "6: .*no such operator"),
        ("columns =", "column =", "4: views.stock.column"),
        ("views.stock", "views.evcli-x", "1: views.evcli-x: .*a view's name"),
        ("views.stock", 'views."a b"', "1: .*a view's name"),
        ("views.stock", "views.SQLite_v", "1: .*a view's name"),
        ("views.stock", "views.2nd", "1: .*a view's name"),
        ("views.stock", "views." + "v" * 65, "1: .*at most 64"),
        ("[views.stock]", '[views.STOCK]\nfrom = "**"\nkey = "stream"\non = {}\n[views.stock]', "differ only in case"),
        ('key = "/data/sku"', 'key = "/data/sku"\nreducer = "merge"', "on: .*goes with rules"),
    ],
)
def test_a_wrong_table_is_told_of_with_line_and_key(tmp_path: Path, old: str, new: str, what: str) -> None:
    found = problem(tmp_path, RULES.replace(old, new))

    assert re.search(what, found), found


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('from = "**"', "nothing about its rows"),
        ('from = "**"\nreducer = "sum"\nkey = "stream"', "no reducer of rows"),
        ('from = "**"\nreducer = "exec: "\nkey = "stream"', "no reducer of rows"),
        ('from = "**"\nreducer = 7\nkey = "stream"', "no reducer of rows"),
        ('from = "**"\n[views.v.reducer.on]', "stand in its own table"),
        ('from = "**"\nreducer = "count"', "needs a key"),
        ('from = "**"\nreducer = "x.py"\nkey = "stream"', "the Python file says the keys"),
    ],
)
def test_what_makes_the_rows_has_to_be_said_once(tmp_path: Path, table: str, what: str) -> None:
    assert what in problem(tmp_path, f"[views.v]\n{table}\n")


def test_a_view_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    more = RULES + '[views.all]\nfrom = "**"\nkey = "stream"\nreducer = "count"\n'
    with pytest.raises(NotFound, match=r"^no view nothing; .*evcli\.toml has: stock, all$") as found:
        configure(tmp_path, more).view("nothing")
    assert found.value.facts == {"view": "nothing"}
    with pytest.raises(NotFound, match=r"no view stock in .*evcli\.toml; .*help views"):
        configure(tmp_path, "").view("stock")
    with pytest.raises(NotFound, match=r"since there is no evcli\.toml; .*help views"):
        load_config(None).view("stock")


def test_a_missing_python_file_is_an_error_only_of_its_view(tmp_path: Path) -> None:
    config = configure(tmp_path, RULES + '[views.v]\nfrom = "**"\nreducer = "absent.py"\n')
    config.view("stock").load()
    for ask in (config.view("v").load, lambda: config.view("v").fingerprint(str(tmp_path / "cache"))):
        with pytest.raises(BadConfig, match=r"evcli\.toml:11: views\.v\.reducer: there is no file .*absent\.py"):
            ask()


CHANGES = [
    ("/data/sku", "/data/name"),
    ("inventory/**", "inventory/*"),
    ('qty = "integer"', 'qty = "real"'),
    ("inc =", "max ="),
    ('"item.reset" = "reset"\n', ""),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_fingerprint_changes_with_all_that_decides_what_rows_there_are(tmp_path: Path, old: str, new: str) -> None:
    before = configure(tmp_path, RULES).view("stock").fingerprint(None)
    assert configure(tmp_path, RULES.replace(old, new)).view("stock").fingerprint(None) != before


def test_a_fingerprint_stays_with_another_name_and_another_layout(tmp_path: Path) -> None:
    before = configure(tmp_path, RULES).view("stock").fingerprint(None)
    listed = RULES.replace('["inventory/**"]', '["inventory/**", "b", "a", "b"]')
    reordered = listed.replace('"b", "a", "b"', '"a", "b"').replace('["inventory/**", "a"', '["a", "inventory/**"')
    found = {configure(tmp_path, text).view("stock").fingerprint(None) for text in (listed, reordered)}
    assert len(found) == 1
    assert found != {before}
    moved = "# a comment\n\n" + RULES.replace("views.stock", "views.other").replace(" = ", "  =  ")
    assert configure(tmp_path, moved).view("other").fingerprint(None) == before


def test_the_order_of_rules_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    lines = RULES.splitlines()
    swapped = "\n".join([*lines[:5], *lines[:4:-1]])
    before = configure(tmp_path, RULES).view("stock").fingerprint(None)
    assert configure(tmp_path, swapped).view("stock").fingerprint(None) != before


def test_a_fingerprint_changes_with_a_file_that_the_program_names_and_with_the_key(tmp_path: Path) -> None:
    text = '[views.v]\nfrom = "**"\nkey = "stream"\nreducer = "exec:jq -f fold.jq"\n'
    found = []
    for program in (".", ". "):
        (tmp_path / "fold.jq").write_text(program)
        found.append(configure(tmp_path, text).view("v").fingerprint(None))
    found.append(configure(tmp_path, text.replace("stream", "/type")).view("v").fingerprint(None))
    assert len(set(found)) == 3


def test_a_fingerprint_changes_with_a_module_beside_the_python_file(python: Path) -> None:
    trust(str(python), str(python / "state"))
    cache = str(python / "cache")
    before = load(python).view("seen").fingerprint(cache)
    assert load(python).view("seen").fingerprint(cache) == before
    (python / "names.py").write_text("STEP = 2\n")
    assert load(python).view("seen").fingerprint(cache) != before
