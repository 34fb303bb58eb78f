import shutil
from pathlib import Path

import pytest

from evcli.api import Store
from evcli.storage.local import LocalStore
from tests.cli.driving import Evcli


@pytest.fixture(scope="session")
def bank_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two accounts with times in the past: ann with three events, bob with two, one of them between ann's."""
    root = tmp_path_factory.mktemp("bank") / "store"
    store = Store(LocalStore(str(root), cache=None))
    for stream, kind, amount, day in (
        ("accounts/ann", "opened", 0, 1),
        ("accounts/ann", "money.deposited", 10, 2),
        ("accounts/bob", "opened", 0, 3),
        ("accounts/ann", "money.withdrawn", 4, 4),
        ("accounts/bob", "money.deposited", 7, 5),
    ):
        store.append(stream, [{"type": kind, "data": {"amount": amount}, "time": f"2026-01-0{day}T00:00:00Z"}])
    return root


@pytest.fixture
def bank(evcli: Evcli, bank_tree: Path, store_path: Path) -> Evcli:
    shutil.copytree(bank_tree, store_path)
    return evcli
