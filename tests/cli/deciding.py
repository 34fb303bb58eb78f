"""A bank and its users with the sample deciders, for the tests of commands."""

from pathlib import Path

import pytest

from tests.cli.driving import Evcli

SAMPLES = Path(__file__).parents[2] / "sample_logs"
CONFIG = """
[streams."accounts/*"]
reducer = "bank.py"
decider = "bank.py"
[streams."users/*"]
decider = "users.py"
"""


def open_bank(evcli: Evcli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """Make two open accounts, ann's with 20.00 in it, and let the sample deciders in ``folder`` be trusted."""
    monkeypatch.chdir(folder)
    for name in ("bank.py", "users.py"):
        (folder / name).write_text((SAMPLES / name).read_text())
    configure(folder, CONFIG)
    monkeypatch.setenv("EVCLI_CONFIG", str(folder / "evcli.toml"))
    evcli.ok("trust", str(folder), "-q")
    for name in ("ann", "bob"):
        evcli.ok("append", f"accounts/{name}", "account.opened", f"owner={name}")
    evcli.ok("do", "accounts/ann", "deposit", "amount=20")
    return evcli


def configure(folder: Path, text: str) -> None:
    (folder / "evcli.toml").write_text(text)


def balance(evcli: Evcli, name: str) -> float:
    return float(evcli.ok("query", "state", f"accounts/{name}", "/balance").json)
