from pathlib import Path

import pytest

from tests.cli.driving import Evcli, tree_hash


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, with no store named by the environment."""
    monkeypatch.delenv("EVCLI_STORE")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return folder


def test_init_makes_a_store_and_an_evcli_toml_here(evcli: Evcli, home: Path) -> None:
    made = evcli.ok("init").json
    assert made["store"] == str(home / ".evcli")
    assert made["made"] == [str(home / ".evcli"), str(home / "evcli.toml")]
    assert (home / ".evcli" / "store.json").exists()
    assert (home / ".evcli" / "README").exists()
    assert evcli.ok("append", "s", "t", "a:=1").err == ""
    assert evcli.ok("query", "state", "s").json == {"a": 1}


def test_init_again_changes_nothing(evcli: Evcli, home: Path) -> None:
    evcli.ok("init")
    (home / "evcli.toml").write_text("# mine\n")
    before = tree_hash(home)
    assert evcli.ok("init").json["made"] == []
    assert "is a store already" in evcli.ok("init", "-o", "table").out.decode()
    assert tree_hash(home) == before


def test_init_elsewhere_and_dry(evcli: Evcli, home: Path) -> None:
    assert evcli.ok("init", "deep/down", "--dry-run").json["would_make"] == [
        str(home / "deep/down/.evcli"),
        str(home / "deep/down/evcli.toml"),
    ]
    assert not (home / "deep").exists()
    evcli.ok("init", "deep/down")
    assert (home / "deep/down/.evcli/store.json").exists()


def test_init_takes_its_directory_as_an_argument(evcli: Evcli, home: Path) -> None:
    assert "evcli init" in evcli.fails(2, "init", "--store", "x")
    assert list(home.iterdir()) == []


def test_init_says_when_the_environment_names_another_store(
    evcli: Evcli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVCLI_STORE", str(home / "other"))
    assert "EVCLI_STORE names another store" in evcli.ok("init").err
    monkeypatch.setenv("EVCLI_STORE", str(home))
    assert evcli.ok("init").err == ""


def test_init_where_nothing_can_be_made_is_one_line(evcli: Evcli, home: Path) -> None:
    (home / "file").write_text("")
    evcli.fails(74, "init", "file/below")


def test_the_store_is_the_option_then_the_environment_then_the_nearest_then_the_users(
    evcli: Evcli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = evcli.ok("append", "own", "t").err
    assert said.startswith(f"evcli: new store in {home}/")
    project = home / "project"
    (project / "src" / "deep").mkdir(parents=True)
    evcli.ok("init", "project")
    monkeypatch.chdir(project / "src" / "deep")
    evcli.ok("append", "nearest", "t")
    assert [row["stream"] for row in evcli.ok("streams").lines] == ["nearest"]
    monkeypatch.setenv("EVCLI_STORE", str(home / "env"))
    evcli.ok("append", "environment", "t")
    assert [row["stream"] for row in evcli.ok("streams").lines] == ["environment"]
    evcli.ok("--store", str(home / "option"), "append", "option", "t")
    for arguments in (["--store", str(home / "option"), "streams"], ["streams", f"--store={home}/option"]):
        assert [row["stream"] for row in evcli.ok(*arguments).lines] == ["option"]
    assert [row["stream"] for row in evcli.ok("streams", "--store", str(project)).lines] == ["nearest"]
    monkeypatch.delenv("EVCLI_STORE")
    monkeypatch.chdir("/")
    assert [row["stream"] for row in evcli.ok("streams").lines] == ["own"]


def test_trust_is_given_listed_and_taken_back(evcli: Evcli, home: Path) -> None:
    assert "evcli trust DIR" in evcli.fails(4, "trust")
    (home / "evcli.toml").write_text("")
    assert evcli.ok("trust", "--dry-run").json["dry_run"] is True
    assert evcli.ok("trust", "--list").lines == []
    evcli.ok("trust")
    assert evcli.ok("trust", "--list").lines == [{"directory": str(home)}]
    evcli.ok("trust", "--remove", ".")
    assert evcli.ok("trust", "--list").lines == []
