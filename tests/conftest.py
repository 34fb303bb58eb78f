"""What every test gets: its own store, cache, state and configuration, never the user's."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.cli.driving import Evcli

# Hundreds of processes are started here, and without what it keeps for the next one Python would compile evcli for each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes tells how busy the machine is, and nothing of what is tested.
settings.register_profile("without deadline", settings(), deadline=None)
settings.load_profile("without deadline")


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "STATE", "STORE"):
        monkeypatch.setenv(f"EVCLI_{name}", str(tmp_path / name.lower()))
    for name in ("EVCLI_CONFIG", "EVCLI_ACTOR", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """Where ``EVCLI_STORE`` points; no store is there yet."""
    return tmp_path / "store"


@pytest.fixture
def evcli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evcli:
    """Evcli's command line, driven in this process."""
    return Evcli(capsysbinary, monkeypatch, tmp_path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="run the long tier of the torture rigs: hours")
    parser.addoption("--torture-seed", type=int, default=1, metavar="N", help="the seed of what is random in the rigs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rigs, which take long: none of them is still to come when all else is done."""
    items.sort(key=lambda item: "torture" not in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Let a worker that has nothing left to do take over from another, where no other ``--dist`` is asked for."""
    from xdist.scheduler import WorkStealingScheduling  # type: ignore[import-untyped]  # it has no types

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None
