import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.driving import Evcli, tree_hash

SUM = "initial = 0\ndef evolve(state, event):\n    return state + event['data']['amount'] * 1\n"


def state(evcli: Evcli, *options: str) -> Any:
    return evcli.ok("query", "state", "accounts/ann", *options).json


def cache_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_it_is_what_replay_says_before_and_after_it_is_cached(bank: Evcli, tmp_path: Path) -> None:
    assert not cache_files(tmp_path)
    for _ in range(2):
        assert state(bank) == {"amount": 4}
    assert cache_files(tmp_path)
    bank.ok("append", "accounts/ann", "t", "note=new")
    assert state(bank) == bank.ok("replay", "accounts/ann").json == {"amount": 4, "note": "new"}
    for version in range(5):
        assert state(bank, "--to", str(version)) == bank.ok("replay", f"accounts/ann@{version}").json


def test_a_cached_state_needs_no_reducer_to_be_loaded(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text(SUM + f"with open({str(tmp_path / 'ran')!r}, 'a') as file:\n    file.write('x')\n")
    reducer = ["--reducer", str(tmp_path / "r.py")]
    assert [state(bank, *reducer) for _ in range(3)] == [14] * 3
    assert (tmp_path / "ran").read_text() == "x"


def test_a_changed_reducer_does_not_meet_the_old_snapshot(bank: Evcli, tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text(SUM)
    assert state(bank, "--reducer", str(path)) == 14
    before = path.stat()
    path.write_text(SUM.replace("* 1", "* 2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert state(bank, "--reducer", str(path)) == 28
    path.write_text(SUM)
    assert state(bank, "--reducer", str(path)) == 14


def test_a_changed_module_beside_the_reducer_counts_too(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text("import rate\ninitial = 0\ndef evolve(s, e): return s + rate.RATE")
    for rate in (1, 2):
        (tmp_path / "rate.py").write_text(f"RATE = {rate}")
        assert state(bank, "--reducer", str(tmp_path / "r.py")) == 3 * rate


@pytest.mark.parametrize("damage", ["corrupt", "truncate", "empty", "garbage", "remove", "folder"])
def test_a_damaged_cache_changes_no_answer(bank: Evcli, tmp_path: Path, damage: str) -> None:
    (tmp_path / "r.py").write_text(SUM)
    reducer = ["--reducer", str(tmp_path / "r.py")]
    assert state(bank, *reducer) == 14
    bank.ok("append", "accounts/ann", "t", "amount:=1")
    for path in cache_files(tmp_path):
        text = path.read_bytes()
        path.unlink()
        if damage == "folder":
            path.mkdir()
        elif damage != "remove":
            middle = len(text) // 2
            path.write_bytes(
                {
                    "corrupt": text[:-2] + bytes([text[-2] ^ 1]) + text[-1:],
                    "truncate": text[:middle],
                    "empty": b"",
                    "garbage": b"\xff\0[]{}\n" * 9,
                }[damage]
            )
    for _ in range(2):
        assert state(bank, *reducer) == 15


def test_a_cache_of_another_history_is_not_believed(bank: Evcli, store_path: Path) -> None:
    assert state(bank) == {"amount": 4}
    identity = (store_path / "store.json").read_bytes()
    store_path.rename(store_path.with_name("old"))
    for amount in (1, 2, 3):
        bank.ok("append", "accounts/ann", "t", f"amount:={amount}")
    (store_path / "store.json").write_bytes(identity)
    assert state(bank) == {"amount": 3}


def test_cached_answers_without_catching_up(bank: Evcli) -> None:
    assert "ask once without --cached" in bank.fails(4, "query", "state", "accounts/ann", "--cached")
    state(bank)
    bank.ok("append", "accounts/ann", "t", "amount:=5")
    assert state(bank, "--cached", "--with-version") == {"stream": "accounts/ann", "version": 3, "state": {"amount": 4}}
    assert state(bank) == {"amount": 5}
    assert state(bank, "--cached") == {"amount": 5}
    for option in (["--to", "1"], ["--until", "now"], ["--at-least", "1"]):
        bank.fails(2, "query", "state", "accounts/ann", "--cached", *option)


def test_at_least_waits_for_a_position(bank: Evcli) -> None:
    assert state(bank, "--at-least", "5") == {"amount": 4}
    begun = time.monotonic()
    said = bank.fails(75, "query", "state", "accounts/ann", "--at-least", "6", "--timeout", "100ms")
    assert "position 6 did not come within 0.1 s" in said
    assert 0.1 <= time.monotonic() - begun < 2

    def append() -> None:
        from evcli import Store

        time.sleep(0.1)
        Store.open().append("accounts/ann", [("t", {"amount": 9})])

    writer = threading.Thread(target=append)
    writer.start()
    assert state(bank, "--at-least", "6", "--timeout", "5s") == {"amount": 9}
    writer.join()


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", b'{"items":[{"n":1.5},"x"],"a/b":1,"m~n":2,"":3,"t":"caf\xc3\xa9\\n"}'),
        ("/items", b'[{"n":1.5},"x"]'),
        ("/items/0/n", b"1.5"),
        ("/items/1", b'"x"'),
        ("/a~1b", b"1"),
        ("/m~0n", b"2"),
        ("/", b"3"),
        ("/t", b'"caf\xc3\xa9\\n"'),
    ],
)
def test_a_pointer_finds_a_place(evcli: Evcli, pointer: str, expected: bytes) -> None:
    evcli.ok("append", "s", "t", '{"items":[{"n":1.5},"x"],"a/b":1,"m~n":2,"":3,"t":"caf\\u00e9\\n"}')
    assert evcli.ok("query", "state", "s", pointer).out == expected + b"\n"


@pytest.mark.parametrize("pointer", ["/none", "/items/2", "/items/-", "/items/-1", "/items/01", "/items/x", "/t/0"])
def test_a_pointer_to_nothing_is_exit_4(evcli: Evcli, pointer: str) -> None:
    evcli.ok("append", "s", "t", '{"items":[1,2],"t":"text"}')
    assert pointer in evcli.fails(4, "query", "state", "s", pointer)


def test_what_is_no_pointer_is_a_usage_error(bank: Evcli) -> None:
    assert "'/amount'" in bank.fails(2, "query", "state", "accounts/ann", "amount")
    bank.fails(2, "query", "state", "accounts/ann", "/a~2")


def test_raw_prints_a_string_bare(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t", 'name=café "x"', "n:=1")
    assert evcli.ok("query", "state", "s", "/name", "-r").out.decode() == 'café "x"\n'
    assert evcli.ok("-r", "query", "state", "s", "/n").out == b"1\n"
    assert evcli.ok("query", "state", "s", "/name").out.decode() == '"café \\"x\\""\n'
    evcli.fails(2, "query", "state", "s", "-o", "csv")


def test_a_pointer_with_version_gives_both(bank: Evcli) -> None:
    found = state(bank, "/amount", "--with-version")
    assert found == {"stream": "accounts/ann", "version": 3, "state": 4}


def test_a_stream_that_is_not_there(bank: Evcli) -> None:
    bank.fails(4, "query", "state", "none")
    bank.fails(4, "query", "state", "none@3")
    bank.fails(4, "query", "state", "none", "--cached")
    found = bank.ok("query", "state", "none", "--with-version").json
    assert found == {"stream": "none", "version": 0, "state": {}}


def test_a_pattern_or_a_range_is_no_one_stream(bank: Evcli) -> None:
    assert "evcli replay PATTERN" in bank.fails(2, "query", "state", "accounts/*")
    bank.fails(2, "query", "state", "accounts/ann@1..2")
    bank.fails(2, "query", "state")


def test_a_store_that_cannot_be_written_to_is_read(bank: Evcli, store_path: Path, tmp_path: Path) -> None:
    before = tree_hash(store_path)
    (tmp_path / "cache").mkdir(exist_ok=True)
    everything = [store_path, *store_path.rglob("*"), tmp_path / "cache"]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for command in (["query", "state", "accounts/ann"], ["replay", "accounts/ann"]):
            assert bank.ok(*command).json == {"amount": 4}
        assert len(bank.ok("log").lines) == 5
        bank.ok("streams")
        bank.ok("verify")
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)
    assert tree_hash(store_path) == before


def test_a_cache_that_cannot_be_made_is_done_without(bank: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVCLI_CACHE", "/proc/none/cache")
    for _ in range(2):
        assert state(bank) == {"amount": 4}
    bank.ok("append", "accounts/ann", "t", "--id", "k")


def test_reading_changes_nothing_in_the_store(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    for command in (["log"], ["streams"], ["replay"], ["query", "state", "accounts/ann"], ["verify"], ["checkpoint"]):
        bank.ok(*command)
    assert tree_hash(store_path) == before
