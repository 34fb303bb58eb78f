"""A note of what an evcli.toml says is never taken for what another text says, nor believed when it is not whole."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.errors import BadConfig
from evcli.project.config import load_config
from evcli.project.toml_file import TomlFile
from evcli.project.toml_notes import recall, remember

ONE = '[streams."a/*"]\nreducer = "count"\n'
OTHER = '[streams."a/*"]\nreducer = "merge"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "evcli.toml"
    path.write_text(ONE)
    return path


def note_in(cache: Path) -> Path:
    (note,) = (cache / "toml").iterdir()
    return note


def test_a_note_says_what_the_file_says(config: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_config(str(config), cache=str(cache)).note()
    file = TomlFile(str(config), str(cache))
    assert file.is_known
    assert recall(str(cache), str(config), ONE) == file.tables == {"streams": {"a/*": {"reducer": "count"}}}


def test_a_changed_file_is_parsed_whatever_its_size_and_times_are(config: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    load_config(str(config), cache=cache).note()
    before = config.stat()
    config.write_text(OTHER)
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert TomlFile(str(config), cache).tables == {"streams": {"a/*": {"reducer": "merge"}}}
    config.write_text("[streams")
    with pytest.raises(BadConfig):
        load_config(str(config), cache=cache)


@pytest.mark.parametrize("place", [0, 70, -2])
def test_a_damaged_note_is_no_note(place: int, config: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_config(str(config), cache=str(cache)).note()
    note = note_in(cache)
    text = bytearray(note.read_bytes())
    text[place] ^= 1
    note.write_bytes(text)
    assert recall(str(cache), str(config), ONE) is None
    assert TomlFile(str(config), str(cache)).tables == {"streams": {"a/*": {"reducer": "count"}}}


def test_what_json_cannot_say_is_not_noted(tmp_path: Path) -> None:
    for text in ("a = 2026-11-23", "a = nan", "a = 08:00:00", "a = inf"):
        path = tmp_path / "some.toml"
        path.write_text(text)
        TomlFile(str(path), str(tmp_path / "cache")).note()
        assert not (tmp_path / "cache" / "toml").exists() or not list((tmp_path / "cache" / "toml").iterdir())


def test_a_cache_that_cannot_be_written_to_changes_nothing(config: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file")
    file = TomlFile(str(config), str(cache))
    file.note()
    assert file.tables == {"streams": {"a/*": {"reducer": "count"}}}


@pytest.mark.parametrize(
    "wrong",
    [
        'reducer = "nothing"',
        'reducer = { on = { "a.b" = { inc = { x = "y" } } } }',
        'reducer = "count"\n[views.v]\nfrom = "a/*"\nkey = "stream"\non = { "a.b" = "nothing" }',
    ],
)
def test_what_is_wrong_is_told_each_time(wrong: str, config: Path, tmp_path: Path) -> None:
    config.write_text(f'[streams."a/*"]\n\n{wrong}\n')
    told = []
    for _ in range(2):
        with pytest.raises(BadConfig) as caught:
            load_config(str(config), cache=str(tmp_path / "cache"))
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert not (tmp_path / "cache").exists()


toml_values = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), toml_values, max_size=3))
def test_a_note_gives_back_the_very_same_values_in_their_order(tables: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        remember(folder, "x.toml", "text", tables)
        assert repr(recall(folder, "x.toml", "text")) == repr(tables)
