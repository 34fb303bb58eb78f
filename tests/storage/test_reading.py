"""Reading a stream by whole commits: where they end, what is verified, and which bytes are read for it."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from evcli.domain.events import Write
from evcli.errors import Damaged
from evcli.storage.lines import SEAL_KEY, SUFFIX_BYTES, ZEROS, chain, commit_ends, seal_in
from evcli.storage.local import LocalStore
from evcli.storage.stream_file import StreamFile
from tests.storage.building import event, overwrite, stored_lines, write

SEAL: Final = b',"seal":"' + b"0123456789abcdef" * 4 + b'"}'


def make(root: Path, *commits: tuple[int, int]) -> LocalStore:
    """Make a stream ``a`` of commits of so many events with data of so many bytes."""
    store = LocalStore(str(root))
    for count, size in commits:
        store.append([Write("a", [event("x" * size)] * count)])
    return store


def ends_of(text: bytes) -> list[int]:
    """Find the ends of commits line by line."""
    ends, at = [], 0
    for line in text.split(b"\n")[:-1]:
        at += len(line) + 1
        if seal_in(line):
            ends.append(at)
    return ends


@pytest.mark.parametrize(
    "text",
    [
        b"",
        SEAL,
        SEAL + b"\n",
        b"{" + SEAL + b"\n{}\n{" + SEAL + b"\n{",
        b"{" + SEAL[:-3] + b'G"}\n',
        b"{" + SEAL[:-3].upper() + b'f"}\n',
        b"{" + SEAL + b"}\n",
        b"{" + SEAL + SEAL + b"\n",
        b"{" + SEAL + b"\r\n" + SEAL + b"\n",
        SEAL[:9] + SEAL + b"\n\n" + SEAL + b"\n",
    ],
)
def test_commits_end_where_a_line_has_a_seal_and_nowhere_else(text: bytes) -> None:
    assert commit_ends(text)[::-1] == ends_of(text)


def test_commits_of_any_size_are_read(store_path: Path) -> None:
    store = make(store_path, (1, 10), (3, 40_000), (5, 500_000), (1, 0), (2, 900_000), (4000, 1), (1, 1))
    text = (store_path / "streams/a.jsonl").read_bytes()
    assert b"".join(chunk.text for chunk in store.read_stream("a", end=store.head().position)) == text
    assert stored_lines(store, "a") == text.split(b"\n")[:-1]


def test_all_that_is_sound_is_given_before_damage_is_told_of(store_path: Path) -> None:
    store = make(store_path, *[(3, 100)] * 20)
    path = store_path / "streams/a.jsonl"
    text = path.read_bytes()
    ends = [0, *ends_of(text)]
    overwrite(path, b"y", text.index(b"xxx", ends[12]))
    given: list[bytes] = []
    with pytest.raises(Damaged, match=f"at byte {ends[12]}: a commit does not match its seal"):
        given.extend(chunk.text for chunk in store.read_stream("a", end=store.head().position))
    assert b"".join(given) == text[: ends[12]]


def test_versions_with_a_gap_are_damage_though_every_seal_is_right(store_path: Path) -> None:
    make(store_path, (3, 10))
    path = store_path / "streams/a.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1]
    body = b"\n".join([lines[0], lines[2][:-SUFFIX_BYTES]])
    sealed = body + SEAL_KEY + chain(ZEROS, body).encode() + b'"}\n'
    path.write_bytes(sealed)
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(Damaged, match="gap"):
            list(StreamFile(fd, "a", "streams/a.jsonl").read(len(sealed)))
    finally:
        os.close(fd)


def test_the_end_of_a_commit_is_found_from_any_place_in_it(store_path: Path) -> None:
    make(store_path, (1, 10), (3, 20_000), (1, 5_000), (200, 100))
    path = store_path / "streams/a.jsonl"
    text = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    try:
        file = StreamFile(fd, "a", "streams/a.jsonl")
        for begin, end in pairwise([0, *ends_of(text)]):
            assert file.commit_end(begin, len(text)) == begin
            for offset in (begin + 1, (begin + end) // 2, end - SUFFIX_BYTES - 1, end):
                assert file.commit_end(offset, len(text)) == end
            for offset in {*range(begin, min(begin + 80, end)), *range(max(begin, end - 80), end), (begin + end) // 2}:
                assert file.commit_before(offset).offset == begin
            # A seal that begins in one block of the search and ends in the next.
            for offset in range(max(begin + 1, end - (16 << 10) - 100), max(begin + 1, end - (16 << 10) + 100)):
                assert file.commit_end(offset, len(text)) == end
            for offset in range(begin + (31 << 10) - 400, min(begin + (31 << 10) + 400, end)):
                assert file.commit_before(offset).offset == begin
        assert file.commit_end(len(text) - 1, len(text) - 1) == len(text) - 1
    finally:
        os.close(fd)


@pytest.mark.parametrize("to", [1, 2, 4, 500, 1003, 1004, 2003])
def test_reading_up_to_a_version_gives_nothing_beyond_it(store_path: Path, to: int) -> None:
    store = make(store_path, (1, 10), (2, 10), (1000, 300), (1000, 300), (1, 5))
    assert stored_lines(store, "a", to=to) == stored_lines(store, "a")[:to]
    store.append([write("b")])
    assert stored_lines(store, "a", to=to) == stored_lines(store, "a")[:to]
