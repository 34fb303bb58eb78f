"""What a command may not load: every import is paid by every call of it."""

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"pydantic", "rich", "asyncio", "sqlite3", "importlib.metadata", "xml", "email", "multiprocessing"}


def loaded_by(arguments: list[str], cwd: Path) -> set[str]:
    code = f"import sys; from evcli.cli.main import run; run({arguments!r}); sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split()) - set(bare.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [["append", "accounts/ann", "money.deposited", "amount:=1"], ["query", "state", "accounts/ann"]],
    ids=["append", "query-state"],
)
def test_the_hot_commands_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "evcli", "append", "accounts/ann", "a.b"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    loaded = loaded_by(arguments, tmp_path)
    assert not loaded & SLOW, sorted(loaded & SLOW)


def test_the_overview_needs_no_typer(tmp_path: Path) -> None:
    assert "typer" not in loaded_by(["--help"], tmp_path)
