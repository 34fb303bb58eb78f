import json
import os
from pathlib import Path

import pytest

from tests.cli.driving import Evcli, tree_hash

BAD = [
    "",
    "/",
    "/etc/passwd",
    "..",
    ".",
    "../x",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.b",
    "_a",
    "a b",
    "a\0b",
    "a\nb",
    "a\n",
    "a\\b",
    "a:b",
    "~",
    "é",
    "a.jsonl",
    "a.JSONL",
    "a.jsonl/b",
    "a" * 201,
    "a/" * 100 + "ab",
    "-x",
    "--x",
    "a/-b",
    "*",
    "a*",
    "a@1",
    "evcli",
    "evcli/x",
    "EVCLI/x",
    "a\x1b[2J",
    "a\udcff",
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_is_refused_everywhere(evcli: Evcli, store_path: Path, name: str) -> None:
    evcli.ok("append", "s", "t")
    before = tree_hash(store_path)
    said = evcli.fails(65, "append", "--", name, "t")
    assert len(said) < 600
    line = json.dumps({"stream": name, "type": "t"}).encode()
    evcli.fails(65, "append", "--from", "-", stdin=line)
    assert tree_hash(store_path) == before
    if "*" in name or "@" in name or name.endswith("/") or name.lower().startswith("evcli"):
        return  # patterns, versions, and evcli's own may be read
    for command in (["log"], ["replay"], ["query", "state"], ["streams"]):
        evcli.fails(65, *command, "--", name)


@pytest.mark.parametrize("name", ["a", "A", "0", "a.b", "a-b_c.d", "a/b/c", "a" * 200, "a.jsonl2", "evcli2/x", "a."])
def test_a_name_by_the_rule_is_fine(evcli: Evcli, name: str) -> None:
    evcli.ok("append", name, "t")
    assert evcli.ok("log", name).json["stream"] == name
    assert evcli.ok("query", "state", name, "--with-version").json["version"] == 1


def test_a_leading_dash_is_an_option_and_two_dashes_make_it_a_name(evcli: Evcli) -> None:
    assert "no such option" in evcli.fails(2, "append", "-x", "t")
    assert "segments of letters" in evcli.fails(65, "append", "--", "-x", "t")
    evcli.ok("append", "--", "x", "t", "-5")
    evcli.ok("append", "x", "t", "--expect", "1", "--", "-5")


def test_a_file_and_a_folder_of_the_same_name_live_side_by_side(evcli: Evcli) -> None:
    evcli.ok("append", "a", "t")
    evcli.ok("append", "a/b", "t")
    assert [row["stream"] for row in evcli.ok("streams").lines] == ["a", "a/b"]


def test_a_symlinked_stream_is_damage_and_nothing_is_written_through_it(
    evcli: Evcli, store_path: Path, tmp_path: Path
) -> None:
    evcli.ok("append", "s", "t")
    path = store_path / "streams" / "s.jsonl"
    moved = tmp_path / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    before = moved.read_bytes()
    for arguments in (["append", "s", "t"], ["log", "s"], ["replay", "s"]):
        evcli.fails(72, *arguments)
    assert moved.read_bytes() == before


def test_a_hard_linked_stream_is_read_and_not_written_to(evcli: Evcli, store_path: Path, tmp_path: Path) -> None:
    evcli.ok("append", "s", "t")
    os.link(store_path / "streams" / "s.jsonl", tmp_path / "backup")
    before = tree_hash(store_path)
    assert len(evcli.ok("log", "s").lines) == 1
    assert "hard link" in evcli.fails(77, "append", "s", "t")
    assert tree_hash(store_path) == before
