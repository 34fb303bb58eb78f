import os
from pathlib import Path
from typing import Literal

import platformdirs
import pytest

from evcli.errors import BadConfig, Usage
from evcli.places import cache_root, find_config, find_store, state_root, user_folder


@pytest.fixture(autouse=True)
def _no_own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_option_names_the_store_relative_to_the_working_directory() -> None:
    assert find_store("books", {"EVCLI_STORE": "/elsewhere"}, "/work/here") == "/work/here/books"
    assert find_store("/books", {}, "/work") == "/books"


def test_the_variable_names_the_store_where_no_option_does() -> None:
    assert find_store(None, {"EVCLI_STORE": "../books"}, "/work/here") == "/work/books"


def test_a_directory_holding_a_dot_evcli_stands_for_it(tmp_path: Path) -> None:
    (tmp_path / ".evcli").mkdir()
    assert find_store(str(tmp_path), {}, "/") == str(tmp_path / ".evcli")
    assert find_store(None, {"EVCLI_STORE": str(tmp_path)}, "/") == str(tmp_path / ".evcli")


def test_a_store_that_happens_to_hold_a_dot_evcli_is_still_itself(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{}")
    (tmp_path / ".evcli").mkdir()
    assert find_store(str(tmp_path), {}, "/") == str(tmp_path)


def test_the_nearest_dot_evcli_upwards_is_the_store(tmp_path: Path) -> None:
    (tmp_path / ".evcli").mkdir()
    (tmp_path / "a" / ".evcli").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    assert find_store(None, {}, str(tmp_path / "a" / "b" / "c")) == str(tmp_path / "a" / ".evcli")
    assert find_store(None, {"EVCLI_STORE": ""}, str(tmp_path / "x")) == str(tmp_path / ".evcli")


def test_a_file_called_dot_evcli_is_no_store(tmp_path: Path) -> None:
    (tmp_path / ".evcli").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".evcli").write_text("")
    assert find_store(None, {}, str(tmp_path / "a")) == str(tmp_path / ".evcli")


def test_the_user_data_directory_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = find_store(None, {}, str(tmp_path))
    assert os.path.basename(found) == "evcli"
    assert found.startswith(str(tmp_path))


def test_an_empty_option_does_not_fall_through_to_another_store() -> None:
    with pytest.raises(Usage):
        find_store("", {"EVCLI_STORE": "/books"}, "/")
    with pytest.raises(Usage):
        find_config("", {}, "/books")


def test_variables_name_the_cache_and_the_state(tmp_path: Path) -> None:
    assert cache_root({"EVCLI_CACHE": str(tmp_path)}) == str(tmp_path)
    assert state_root({"EVCLI_STATE": "here"}) == os.path.abspath("here")
    assert os.path.isabs(cache_root({}))
    assert os.path.isabs(state_root({"EVCLI_STATE": ""}))


def test_a_named_config_wins_over_the_one_in_the_store(tmp_path: Path) -> None:
    named, other = tmp_path / "named.toml", tmp_path / "other.toml"
    for path in (named, other, tmp_path / "evcli.toml"):
        path.write_text("")
    assert find_config(str(named), {"EVCLI_CONFIG": str(other)}, str(tmp_path)) == str(named)
    assert find_config(None, {"EVCLI_CONFIG": str(other)}, str(tmp_path)) == str(other)
    assert find_config(None, {"EVCLI_CONFIG": "/dev/null"}, str(tmp_path)) == "/dev/null"


def test_a_named_config_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="--config names it"):
        find_config(str(tmp_path / "no.toml"), {}, str(tmp_path))
    with pytest.raises(BadConfig, match="EVCLI_CONFIG names it"):
        find_config(None, {"EVCLI_CONFIG": str(tmp_path)}, str(tmp_path))


def test_the_config_is_in_the_store_or_beside_a_dot_evcli(tmp_path: Path) -> None:
    store = tmp_path / ".evcli"
    store.mkdir()
    assert find_config(None, {}, str(store)) is None
    (tmp_path / "evcli.toml").write_text("")
    assert find_config(None, {}, str(store)) == str(tmp_path / "evcli.toml")
    (store / "evcli.toml").write_text("")
    assert find_config(None, {}, str(store)) == str(store / "evcli.toml")


def test_a_config_beside_a_store_of_another_name_is_not_its(tmp_path: Path) -> None:
    (tmp_path / "evcli.toml").write_text("")
    assert find_config(None, {}, str(tmp_path / "books")) is None


def test_the_user_config_directory_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = Path(platformdirs.user_config_dir("evcli", appauthor=False)) / "evcli.toml"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert find_config(None, {}, str(tmp_path / "books")) == str(path)


@pytest.mark.parametrize("kind", ["data", "config", "state", "cache"])
@pytest.mark.parametrize("named", [None, "", " ", "/x", "/x/", "x", " /x", "~/x", "//x", "/x\n"])
@pytest.mark.parametrize("home", [None, "/home/ann", "/home/ann/", "/", "ann", ""])
def test_the_users_folders_are_where_platformdirs_has_them(
    kind: Literal["data", "config", "state", "cache"],
    named: str | None,
    home: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ((f"XDG_{kind.upper()}_HOME", named), ("HOME", home)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert user_folder(kind) == getattr(platformdirs, f"user_{kind}_dir")("evcli", appauthor=False)
