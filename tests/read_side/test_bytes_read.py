"""What a question reads of a view's file, counted from outside: it does not grow with the rows."""

import os
from pathlib import Path

import pytest

from tests.read_side.viewing import kept, received, shop


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="the operating system counts no bytes")
def test_one_key_of_many_rows_reads_what_one_of_few_does(tmp_path: Path) -> None:
    few, many = count_bytes(tmp_path / "few", 1_000), count_bytes(tmp_path / "many", 60_000)
    assert many < few + 4 * 4096  # a B-tree is a page or two deeper


def count_bytes(folder: Path, rows: int) -> int:
    folder.mkdir()
    store = shop(folder)
    for first in range(0, rows, 10_000):
        count = min(10_000, rows - first)
        store.append("inventory/x", [received(f"SKU-{first + number:07}", number) for number in range(count)])
    kept(store).bring_up_to(store.head(), 1e12)
    view = store.view("stock")
    view.get("SKU-0000500")
    before = bytes_read()
    found = view.get("SKU-0000500")
    read = bytes_read() - before
    assert found is not None
    assert found.value["qty"] == 500
    return read


def bytes_read() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar"):
            return int(line.split()[1])
    raise AssertionError
