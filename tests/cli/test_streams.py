from pathlib import Path

import pytest

from tests.cli.driving import Evcli, Result


def names(result: Result) -> list[str]:
    return [row["stream"] for row in result.lines]


def test_each_stream_has_its_version_times_and_size(bank: Evcli, store_path: Path) -> None:
    ann, bob = bank.ok("streams").lines
    assert ann == {
        "stream": "accounts/ann",
        "version": 3,
        "first": "2026-01-01T00:00:00.000000Z",
        "last": "2026-01-04T00:00:00.000000Z",
        "size": (store_path / "streams/accounts/ann.jsonl").stat().st_size,
    }
    assert bob["version"] == 2


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], ["a", "a/b", "a/b/c", "z"]),
        (["*"], ["a", "z"]),
        (["**"], ["a", "a/b", "a/b/c", "z"]),
        (["a/"], ["a/b", "a/b/c"]),
        (["a/*"], ["a/b"]),
        (["**/c"], ["a/b/c"]),
        (["a", "z"], ["a", "z"]),
        (["z", "a*"], ["a", "z"]),
        (["none*"], []),
    ],
)
def test_patterns_select(evcli: Evcli, patterns: list[str], expected: list[str]) -> None:
    for stream in ("z", "a/b", "a", "a/b/c"):
        evcli.ok("append", stream, "t")
    assert names(evcli.ok("streams", *patterns)) == expected


def test_a_plain_name_that_is_not_there_is_exit_4(bank: Evcli) -> None:
    bank.fails(4, "streams", "none")
    bank.fails(65, "streams", "../x")


def test_an_empty_listing_is_said_to_nobody_in_a_pipe(bank: Evcli) -> None:
    assert bank.ok("streams", "none/")[1:] == (b"", "")
    assert bank.ok("streams", "none/", "-o", "json").json == []


def test_csv_and_table(bank: Evcli) -> None:
    assert bank.ok("streams", "-o", "csv").out.startswith(b"stream,version,first,last,size\naccounts/ann,3,2026-01-01T")
    assert b"accounts/bob" in bank.ok("streams", "-o", "table").out
