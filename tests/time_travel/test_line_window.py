from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evcli.time_travel.line_window
from evcli import Store
from evcli.errors import Damaged
from evcli.storage.contract import Chunk
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from evcli.time_travel.line_window import LineWindow

COUNT = 40


class CountingStore(MemoryStore):
    """A store that counts how often a stream is read."""

    reads = 0

    def read_stream(self, stream: str, **bounds: Any) -> Iterator[Chunk]:
        self.reads += 1
        return super().read_stream(stream, **bounds)


def filled(log: Any, commits: list[int]) -> tuple[Any, list[bytes]]:
    store = Store(log)
    for size in commits:
        store.append("s", [("t", {"n": n}) for n in range(size)])
    return log, [line for chunk in log.read_stream("s", end=sum(commits)) for line in chunk.lines]


def window(log: Any) -> LineWindow:
    return LineWindow(log, "s", end=log.head().position, version=log.head().position)


def lines_of(found: Iterator[list[bytes]]) -> list[bytes]:
    return [line for lines in found for line in lines]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_AHEAD", 3), ("_MOST_LINES", 6), ("_MOST_BYTES", 700)):
        monkeypatch.setattr(evcli.time_travel.line_window, name, value)


@pytest.mark.usefixtures("narrow")
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, COUNT), st.integers(0, COUNT), st.booleans()), max_size=12),
)
def test_whatever_was_read_before_the_lines_are_those_of_the_stream(
    commits: list[int], asked: list[tuple[int, int, bool]]
) -> None:
    log, lines = filled(MemoryStore(), commits)
    read = window(log)
    for one, other, is_left_early in asked:
        after, to = sorted((one % (len(lines) + 1), other % (len(lines) + 1)))
        found = read.between(after, to)
        if is_left_early:
            first = next(found, [])
            assert first == lines[after:to][: len(first)]
        else:
            assert lines_of(found) == lines[after:to]


def test_the_neighbourhood_is_read_once() -> None:
    log, lines = filled(CountingStore(), [1000, 1000])
    read = window(log)
    log.reads = 0
    for after in (*range(900, 1100), *range(1099, 899, -1)):
        assert lines_of(read.between(after, after + 1)) == [lines[after]]
    assert log.reads <= 4


def test_what_is_damaged_further_on_keeps_nobody_from_what_stands_before_it(tmp_path: Path) -> None:
    log, lines = filled(LocalStore(str(tmp_path), cache=None), [1] * 10)
    path = tmp_path / "streams" / "s.jsonl"
    text = path.read_bytes()
    at = text.index(b'"version":7')
    path.write_bytes(text[:at] + text[at:].replace(b'"type":"t"', b'"type":"u"', 1))
    assert lines_of(window(log).between(0, 5)) == lines[:5]
    assert lines_of(window(log).between(5, 6)) == lines[5:6]
    with pytest.raises(Damaged):
        lines_of(window(log).between(0, 7))
