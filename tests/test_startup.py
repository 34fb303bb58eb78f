"""What a command may not load: every import is paid by every call of it."""

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"pydantic", "rich", "asyncio", "sqlite3", "importlib.metadata", "xml", "email", "multiprocessing"}


# What the hot path does without: each of these costs more than a command's own work, or is a sign of one that does.
NOT_ON_THE_HOT_PATH = SLOW | {
    "typer", "click", "orjson", "platformdirs", "inspect", "dataclasses", "subprocess", "hashlib", "_hashlib", "tomllib",
    "csv", "random", "uuid", "threading", "shutil", "tempfile", "pathlib", "urllib", "shlex", "copy", "difflib", "ast",
    "importlib.resources", "unicodedata", "select", "argparse", "logging", "platform", "typing", "warnings",
    "datetime", "signal",
}  # fmt: skip
HOT = {
    "append": ["append", "accounts/ann", "money.deposited", "amount:=1"],
    "query-state": ["query", "state", "accounts/ann"],
    "query-get": ["query", "get", "stock", "a"],
}
CONFIG = """
[streams."accounts/*".reducer.on]
"money.*" = { inc = { balance = "/data/amount" } }
[views.stock]
from = "accounts/*"
key = "/data/sku"
columns = { qty = "integer" }
[views.stock.on]
"item.*" = { set = { qty = "/data/qty" } }
"""


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


@pytest.mark.parametrize("name", HOT)
@pytest.mark.parametrize("variables", ["set", "unset"])
def test_the_hot_path_loads_what_it_needs_and_no_more(
    name: str, variables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EVCLI_STORE", raising=False)
    for variable in ("EVCLI_CACHE", "EVCLI_STATE"):
        if variables == "set":
            monkeypatch.setenv(variable, str(tmp_path / variable))
        else:
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "evcli.toml").write_text(CONFIG)
    for arguments in (["init"], ["append", "accounts/ann", "item.counted", "sku=a", "qty:=3"], *HOT.values()):
        subprocess.run([sys.executable, "-m", "evcli", *arguments], cwd=tmp_path, check=True, capture_output=True)
    loaded_by(HOT[name], tmp_path)  # once more, since what was appended meanwhile has to be folded
    loaded = loaded_by(HOT[name], tmp_path)
    assert not loaded & NOT_ON_THE_HOT_PATH, sorted(loaded & NOT_ON_THE_HOT_PATH)
    assert ("_sqlite3" in loaded) == (name == "query-get")


@pytest.mark.parametrize("arguments", [["append", "a", "--no-such-option"], ["query", "state", "a", "b", "c"]])
def test_what_the_hot_path_does_not_understand_is_typers(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evcli", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("evcli: ")


@pytest.mark.skipif(sys.platform == "darwin", reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["append", "a", "b.c"], ["--help"], ["query", "state", "none"], ["streams"]])
def test_a_full_output_is_told_of_however_the_process_ends(arguments: list[str], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "evcli", "append", "a", "b.c"], cwd=tmp_path, check=True, capture_output=True)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "evcli", *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == (4 if "none" in arguments else 74)


def test_what_is_registered_to_run_at_exit_still_runs(tmp_path: Path) -> None:
    code = "import atexit; atexit.register(print, 'ran'); from evcli.cli.main import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("ran\n")


def test_a_profile_is_written_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cProfile", "-o", "out", "-m", "evcli", "--version"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "out").stat().st_size
