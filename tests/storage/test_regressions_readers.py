"""What the torture rig of readers has found, each in its smallest form."""

import os
from pathlib import Path

import pytest

from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, write


def test_a_reader_that_is_late_while_the_store_is_made_does_not_call_it_damaged(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = os.path.exists

    def made_meanwhile(path: str) -> bool:
        monkeypatch.undo()
        LocalStore(str(store_path)).append([write("a")])
        return exists(path)

    monkeypatch.setattr("evcli.storage.layout.os.path.exists", made_meanwhile)
    assert len(all_lines(LocalStore(str(store_path)))) == 1
