"""Views: what is folded once, kept in snapshot files, and the same as a fold by hand whatever happens to those."""

import os
import random
import shutil
import sqlite3
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli import Store
from evcli.errors import Busy, CodeFailed, NotFound
from evcli.read_side import folding
from evcli.read_side.upkeep import parked_at, path_for_others, rebuild, retry, roll_back, skip, status_of
from evcli.read_side.views import View
from evcli.storage import view_file
from evcli.storage.codec import freeze
from tests.read_side.viewing import STOCK, ask, by_hand, kept, random_events, received, rows_of, shop

NEW_STOCK = STOCK.replace('qty = "/data/qty" }, set', "qty = 1 }, set")


def folder_of(tmp_path: Path, name: str = "stock") -> Path:
    [store] = (tmp_path / "cache").iterdir()
    return store / "views" / name


def database_of(tmp_path: Path) -> Path:
    [path] = folder_of(tmp_path).glob("*.sqlite")
    return path


@given(seed=st.integers(0, 2**32), parts=st.lists(st.integers(1, 30), min_size=1, max_size=6), batch=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_caught_up_at_any_moments_is_rebuilt_is_folded_by_hand(seed: int, parts: list[int], batch: int) -> None:
    folder, rng = Path(mkdtemp(prefix="evcli-test-")), random.Random(seed)
    old, folding.BATCH_EVENTS = folding.BATCH_EVENTS, batch  # type: ignore[misc]  # a constant, small for once
    try:
        store = shop(folder)
        for part in parts:
            store.append(f"inventory/{rng.choice('xyz')}", random_events(rng, part))
            store.append("elsewhere/a", random_events(rng, 1))
            if rng.random() < 0.7:
                expected = by_hand(list(store.read_all()))
                # what is not in the view's streams is not in the view
                expected = by_hand([event for event in store.read_all() if event["stream"] != "elsewhere/a"])
                assert ask(store)[0] == expected
        expected = by_hand([event for event in store.read_all() if event["stream"] != "elsewhere/a"])
        assert ask(store)[0] == expected
        rebuild(kept(store))
        assert ask(store, cached=True)[0] == expected
    finally:
        folding.BATCH_EVENTS = old  # type: ignore[misc]
        shutil.rmtree(folder)


def test_an_answer_says_what_it_covers_and_what_it_took(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1), received("B", 2)])
    first = ask(store)[1]
    assert (first.position, first.lag, first.folded, first.rebuilt) == (2, 0, 2, "first use")
    store.append("inventory/x", [received("A", 3)])
    assert ask(store, cached=True)[1][1:4] == (2, 1, 0)
    second = ask(store)[1]
    assert (second.position, second.lag, second.folded, second.rebuilt) == (3, 0, 1, "")
    assert ask(store)[1][1:4] == (3, 0, 0)


def test_a_row_tells_the_last_event_that_made_it(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1), received("B", 2), ("item.counted", {"sku": "A"})])
    store.append("inventory/y", [received("A", 5)])
    found = {row.key: (row.version, row.position) for row in store.view("stock").query()}
    assert found == {"A": (1, 4), "B": (2, 2)}


def test_until_answers_as_of_then_by_time_and_leaves_the_file_alone(tmp_path: Path) -> None:
    store = shop(tmp_path)
    early = {"type": "item.received", "data": {"sku": "A", "qty": 1}, "time": "2026-01-01T00:00:00Z"}
    late = {"type": "item.received", "data": {"sku": "A", "qty": 10}, "time": "2026-03-01T00:00:00Z"}
    middle = {"type": "item.received", "data": {"sku": "A", "qty": 100}, "time": "2026-02-01T00:00:00Z"}
    store.append("inventory/x", [early, late])
    store.append("inventory/y", [middle])  # recorded last, happened before
    view = store.view("stock")
    asked = [view.get("A", until=moment) for moment in ("2025-12-31", "2026-01-31", "2026-02", "2026-03-31")]
    assert [row and row.value["qty"] for row in asked] == [None, 1, 101, 111]
    assert ask(store)[1].rebuilt == "first use"


@pytest.mark.parametrize("in_wal", [True, False], ids=["rows in the WAL", "rows in the file"])
@pytest.mark.parametrize("harm", ["delete", "truncate", "flip", "zero", "append", "garbage", "edit"])
def test_whatever_happens_to_a_file_of_the_cache_changes_no_answer(tmp_path: Path, harm: str, *, in_wal: bool) -> None:
    rng = random.Random(harm)
    store = shop(tmp_path)
    for _ in range(30):
        store.append("inventory/x", random_events(rng, 5))
        ask(store)  # a WAL with many commits
    expected = ask(store)[0]
    rebuilt = 0
    if in_wal:
        store.append("elsewhere/x", random_events(rng, 1))
    else:
        path_for_others(kept(store))
    for path in sorted(folder_of(tmp_path).rglob("*")):
        if path.is_dir() or not path.exists():
            continue
        for _ in range(10 if harm == "flip" else 1):
            do_harm(path, harm, rng)
            found, explained = ask(store)
            assert found == expected, path.name
            rebuilt += bool(explained.rebuilt)
            if not path.exists():
                break
    assert rebuilt


def do_harm(path: Path, harm: str, rng: random.Random) -> None:
    text = bytearray(path.read_bytes())
    at = rng.randrange(len(text) or 1)
    if harm == "delete":
        path.unlink()
    elif harm == "truncate":
        os.truncate(path, at)
    elif harm == "flip" and text:
        text[at] ^= 1 << rng.randrange(8)
        path.write_bytes(text)
    elif harm == "zero":
        path.write_bytes(text[:at] + bytes(len(text) - at))
    elif harm == "append":
        path.write_bytes(text + b"more")
    elif harm == "edit":  # what no checksum of SQLite's is over
        path.write_bytes(text.replace(b'"updated":"20', b'"updated":"19'))
    elif harm == "garbage":
        path.write_bytes(rng.randbytes(len(text)))


def test_without_a_cache_the_answer_is_the_same(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    assert ask(shop(tmp_path, cache=False))[0] == ask(store)[0]
    with pytest.raises(NotFound, match="nothing of view stock is cached"):
        ask(shop(tmp_path, cache=False), cached=True)


def test_a_cache_that_cannot_be_written_to_is_none(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    (tmp_path / "cache").write_text("in the way")
    assert set(ask(store)[0]) == {"A"}


def test_another_history_is_folded_anew(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    store.append("inventory/x", [received("A", 2)])
    ask(store)
    shutil.rmtree(tmp_path / "store")
    shutil.copytree(tmp_path / "backup", tmp_path / "store")
    restored = shop(tmp_path)
    restored.append("inventory/x", [received("A", 10)])
    rows, explained = ask(restored)
    assert rows["A"]["qty"] == 11
    assert explained.rebuilt == "another history"


def test_a_changed_definition_is_built_beside_the_old_file(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5), received("A", 6)])
    ask(store)
    changed = shop(tmp_path, NEW_STOCK)
    assert ask(changed, cached=True)[0]["A"]["qty"] == 11
    assert status_of(kept(changed), changed.head()).state == "changed"
    rows, explained = ask(changed)
    assert (rows["A"]["qty"], explained.rebuilt) == (2, "new definition")


def test_queries_are_answered_from_the_old_file_while_the_new_one_is_built(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5)])
    ask(store)
    seen = []

    def look(_done: int, _total: int) -> None:
        seen.append((ask(store, cached=True)[0]["A"]["qty"], status_of(slow, store.head()).state))

    slow = shop(tmp_path, NEW_STOCK).kept_view("stock", progress=look)
    rebuild(slow)
    assert seen == [(5, "building")]
    assert ask(store, cached=True)[0]["A"]["qty"] == 1


def test_compare_tells_the_rows_that_differ_as_of_the_same_position(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5), received("B", 1)])
    ask(store)
    store.append("inventory/x", [received("C", 7)])  # came later: no difference between the definitions
    changed = shop(tmp_path, NEW_STOCK)
    found: list[object] = []
    rebuild(kept(changed), report=found.append, dry_run=True)
    [difference] = found
    assert (difference.key, difference.old["qty"], difference.new["qty"]) == ("A", 5, 1)  # type: ignore[attr-defined]
    assert ask(store, cached=True)[1].position == 2
    rebuild(kept(changed), report=lambda _: None)
    rows, explained = ask(changed, cached=True)
    assert (rows["A"]["qty"], rows["C"]["qty"], explained.position) == (1, 1, 3)


def test_compare_tells_of_rows_on_one_side_only(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5), received("C", 1)])
    ask(store)
    other = shop(tmp_path, STOCK.replace('"/data/sku"', '"stream"'))
    found: list[object] = []
    rebuild(kept(other), report=found.append)
    keys = [(d.key, d.old is None, d.new is None) for d in found]  # type: ignore[attr-defined]
    assert keys == [("A", False, True), ("C", False, True), ("inventory/x", True, False)]


def test_rollback_puts_the_file_before_back_until_the_definition_changes(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5)])
    ask(store)
    changed = shop(tmp_path, NEW_STOCK)
    ask(changed)
    roll_back(kept(changed))
    store.append("inventory/x", [received("A", 6)])
    rows, explained = ask(changed)
    assert (rows["A"]["qty"], explained.lag) == (5, 1)
    assert status_of(kept(changed), store.head()).state == "rolled back"
    assert ask(shop(tmp_path))[0]["A"]["qty"] == 11  # the old definition goes on with the old file
    mended = shop(tmp_path, NEW_STOCK.replace("qty = 1", "qty = 2"))
    assert ask(mended)[0]["A"]["qty"] == 4


def test_a_rebuild_ends_a_rollback(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5)])
    ask(store)
    changed = shop(tmp_path, NEW_STOCK)
    ask(changed)
    roll_back(kept(changed))
    rebuild(kept(changed))
    assert ask(changed)[0]["A"]["qty"] == 1


def test_there_is_nothing_to_roll_back_to_before_a_rebuild(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5)])
    ask(store)
    with pytest.raises(NotFound, match="no file before"):
        roll_back(kept(store))


def test_a_poison_event_parks_the_view_right_before_it(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1), received("A", 2), received("A", "many"), received("A", 4)])
    with pytest.raises(CodeFailed, match="inventory/x@3"):
        ask(store)
    assert ask(store, cached=True)[0]["A"]["qty"] == 3
    status = status_of(kept(store), store.head())
    assert status.state == "parked"
    assert status.parked is not None
    assert (status.parked.position, status.parked.stream, status.parked.version) == (3, "inventory/x", 3)
    with pytest.raises(CodeFailed):
        retry(kept(store))


def test_a_skipped_event_is_left_out_whatever_happens_to_the_cache(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1), received("A", "many"), received("A", 4)])
    with pytest.raises(CodeFailed):
        ask(store)
    assert skip(kept(store)).version == 2
    assert ask(store)[0]["A"]["qty"] == 5
    shutil.rmtree(tmp_path / "cache")
    assert ask(store)[0]["A"]["qty"] == 5
    with pytest.raises(NotFound, match="not parked"):
        parked_at(kept(store))


def test_a_changed_definition_meets_a_skipped_event_again(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", "many"), received("A", 4)])
    with pytest.raises(CodeFailed):
        ask(store)
    skip(kept(store))
    counting = shop(tmp_path, NEW_STOCK)
    assert ask(counting)[0]["A"]["qty"] == 2


def test_a_poison_event_leaves_the_file_of_the_definition_before_in_use(tmp_path: Path) -> None:
    store = shop(tmp_path, NEW_STOCK)
    store.append("inventory/x", [received("A", 1), received("A", "many")])
    ask(store)
    with pytest.raises(CodeFailed):
        ask(shop(tmp_path))
    assert ask(store, cached=True)[0]["A"]["qty"] == 2


@pytest.mark.parametrize("count", [8, 3000])
def test_rows_that_are_not_json_park_the_view_at_the_event_that_made_them(tmp_path: Path, count: int) -> None:
    (tmp_path / "tuples.py").write_text(
        "def key(event):\n    return 'all'\n\n\ndef evolve(row, event):\n"
        "    return {'odd': (1, 2)} if event['data']['qty'] == 3 else {'odd': (row or {}).get('odd')}\n"
    )
    from evcli.project.trust import trust

    trust(str(tmp_path), str(tmp_path / "state"))
    store = shop(tmp_path, '[views.odd]\nfrom = "inventory/**"\nreducer = "tuples.py"\n')
    store.append("inventory/x", [received("A", number) for number in range(1, count + 1)])
    with pytest.raises(CodeFailed, match=r"not JSON after inventory/x@3\b"):
        ask(store, "odd")
    assert ask(store, "odd", cached=True)[1].position == 2


def test_who_folds_excludes_others_but_not_readers(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    ask(store)
    store.append("inventory/x", [received("A", 1)])
    folder = kept(store).folder
    assert folder is not None
    with folder.lock() as held:
        assert held
        assert ask(store, cached=True)[0]["A"]["qty"] == 1
        with pytest.raises(Busy, match="another process is folding"):
            ask(store, timeout=0.05)
        with pytest.raises(Busy, match="did not reach position 2"):
            ask(store, cached=True, at_least=2, timeout=0.05)
    assert ask(store, at_least=2)[0]["A"]["qty"] == 2


def test_a_reader_keeps_its_rows_while_the_view_moves_on(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    with View(kept(store)).open() as answer:
        store.append("inventory/x", [received("A", 1)])
        ask(store)
        rebuild(kept(store))
        rebuild(kept(store))
        assert rows_of(answer)["A"]["qty"] == 1
    assert ask(store)[0]["A"]["qty"] == 2


def test_a_long_wal_is_folded_into_the_file_and_costs_no_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_file, "_WAL_BYTES", 10_000)
    store = shop(tmp_path)
    wal = 0
    for number in range(20):
        store.append("inventory/x", [received(f"A{number}", 1)])
        rows, explained = ask(store)
        wal = max(wal, os.path.getsize(f"{database_of(tmp_path)}-wal"))
        assert len(rows) == number + 1
        assert explained.rebuilt == ("" if number else "first use")
    assert wal < 40_000


def test_other_tools_read_the_file_and_leave_it_as_it_is(tmp_path: Path) -> None:
    store = shop(tmp_path)
    for number in range(3):
        store.append("inventory/x", [received("A", number)])
        ask(store)
    path = path_for_others(kept(store))
    with sqlite3.connect(path) as database:
        assert database.execute("select key, qty from stock").fetchall() == [("A", 3)]
    database.close()
    assert ask(store)[1].rebuilt == ""
    store.append("inventory/x", [received("A", 4)])
    assert ask(store)[1].rebuilt == ""


def test_events_of_streams_that_the_view_does_not_read_move_it_on_all_the_same(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("elsewhere/x", [received("A", 1)])
    rows, explained = ask(store)
    assert (rows, explained.position, explained.folded) == ({}, 1, 0)


def test_an_empty_store_has_empty_views(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.create()
    assert ask(store)[0] == {}
    assert ask(store)[1].rebuilt == ""
    store.append("inventory/x", [received("A", 1)])
    assert ask(store)[1].rebuilt == ""


def test_a_fold_that_is_interrupted_is_as_if_it_had_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    ask(store)
    store.append("inventory/x", [received("A", 1)])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folding, "_row_change", stop)
        with pytest.raises(KeyboardInterrupt):
            ask(store)
    assert ask(store, cached=True)[1].position == 1
    assert ask(store)[0]["A"]["qty"] == 2


def test_a_slow_fold_that_is_interrupted_keeps_what_it_has_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    ask(store)
    store.append("inventory/x", [received("A", 1)] * 999)
    monkeypatch.setattr(folding, "_LONGEST", 0.0)
    make, calls = freeze, iter((False, False, True))

    def stop(row: Any) -> bytes | None:
        if next(calls):
            raise KeyboardInterrupt
        return make(row)

    with monkeypatch.context() as patched:
        patched.setattr(folding, "freeze", stop)
        with pytest.raises(KeyboardInterrupt):
            ask(store)
    assert ask(store, cached=True)[1].position > 500
    assert ask(store)[0]["A"]["qty"] == 1000


def test_store_views_are_asked_from_python(tmp_path: Path) -> None:
    store: Store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1), received("B", 20), received("C", 3)])
    view = store.view("stock")
    found = view.get("B")
    assert found is not None
    assert (found.key, found.value["qty"], found.version) == ("B", 20, 2)
    assert view.get("Z") is None
    assert [row.key for row in view.query("qty < :few", params={"few": 10}, sort=["-qty"])] == ["C", "A"]
    assert [row.key for row in view.query(limit=2)] == ["A", "B"]
    with pytest.raises(NotFound, match="no view"):
        store.view("nothing")


def test_compare_stops_within_a_commit_where_the_file_in_use_is_parked(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    store.append_many({"elsewhere/y": [received("Z", 1)], "inventory/x": [received("B", "many"), received("C", 2)]})
    with pytest.raises(CodeFailed):
        ask(store)
    counting = shop(tmp_path, NEW_STOCK)
    found: list[object] = []
    rebuild(kept(counting), report=found.append)
    assert found == []
    assert set(ask(counting, cached=True)[0]) == {"A", "B", "C"}


@pytest.mark.parametrize("key", ["A\0b", "A", "", "'\"", "\U0001f600"])
def test_any_text_is_a_key(tmp_path: Path, key: str) -> None:
    store = shop(tmp_path)
    for number in range(1, 4):
        store.append("inventory/x", [received(key, 2), received(key + "\0c", 1)])
        assert {sku: row["qty"] for sku, row in ask(store)[0].items()} == {key: 2 * number, key + "\0c": number}
    found = store.view("stock").get(key)
    assert found is not None
    assert found.value["qty"] == 6


def test_many_poison_events_are_parked_at_the_first(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1 if number % 7 else "many") for number in range(1, 60)])
    for first in (7, 14, 21):
        with pytest.raises(CodeFailed, match=rf"inventory/x@{first}\b"):
            ask(store)
        assert ask(store, cached=True)[1].position == first - 1
        with pytest.raises(CodeFailed):
            skip(kept(store))


def test_an_event_that_fails_far_behind_others_parks_the_view_right_before_it(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("elsewhere/a", [received("Z", 1)] * 700)
    events = [*random_events(random.Random(1), 2000, "ABCDEFGH"), received("A", "many"), *[received("A", 1)] * 500]
    store.append("inventory/x", events)
    with pytest.raises(CodeFailed, match=r"inventory/x@2001\b"):
        ask(store)
    rows, explained = ask(store, cached=True)
    assert rows == by_hand([event for event in store.read_all() if 700 < event["position"] <= 2700])
    assert explained.position == 2700


def test_a_view_whose_code_cannot_be_loaded_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def key(event):\n    pass\n")
    store = shop(tmp_path, '[views.odd]\nfrom = "**"\nreducer = "odd.py"\n')
    store.append("inventory/x", [received("A", 1)])
    status = status_of(kept(store, "odd"), store.head())
    assert status.state == "unusable"
    assert "evcli trust" in status.problem


def test_a_key_that_no_text_can_be_has_no_row(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    assert store.view("stock").get("\udcff") is None


def test_a_file_that_another_program_has_locked_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_file, "_BUSY_SECONDS", 0.05)
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    path = path_for_others(kept(store))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin exclusive")
    with pytest.raises(Busy, match="locked the file of view stock"):
        ask(store, cached=True)
    other.close()
    assert set(ask(store)[0]) == {"A"}
