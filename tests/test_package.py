"""The package's own promises: dependencies, version, layout."""

import tomllib
from pathlib import Path

import evcli

ROOT = Path(__file__).parent.parent


def test_the_core_dependencies_are_four() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [entry.partition(">")[0] for entry in project["dependencies"]] == ["typer", "rich", "orjson", "platformdirs"]
    assert "typer>=0.26,<0.29" in project["dependencies"]


def test_the_version_is_in_the_changelog() -> None:
    assert f"## [{evcli.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_importing_evcli_gives_the_public_names() -> None:
    assert evcli.Store.__module__ == "evcli.api"
    assert evcli.WrongExpectedVersion.exit_code == 3
