import shlex
from pathlib import Path

import pytest

from evcli.errors import NotFound, NotTrusted
from evcli.project.trust import distrust, is_trusted, require_trust, trust, trusted


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    return folder


def test_nothing_is_trusted_at_first(project: Path, state: str) -> None:
    assert not is_trusted(str(project), state)
    assert trusted(state) == []
    assert not distrust(str(project), state)


def test_trust_is_for_the_real_directory_however_it_is_named(project: Path, state: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    assert trust(str(link), state) == str(project)
    assert is_trusted(str(project) + "/.", state)
    assert trusted(state) == [str(project)]


def test_trust_does_not_reach_what_lies_below_or_above(project: Path, state: str) -> None:
    (project / "sub").mkdir()
    trust(str(project), state)
    assert not is_trusted(str(project / "sub"), state)
    assert not is_trusted(str(project.parent), state)


def test_trust_can_be_taken_back_also_when_the_directory_is_gone(project: Path, state: str) -> None:
    trust(str(project), state)
    project.rmdir()
    assert trusted(state) == [str(project)]
    assert distrust(str(project), state)
    assert trusted(state) == []


def test_a_directory_that_is_not_there_cannot_be_trusted(tmp_path: Path, state: str) -> None:
    with pytest.raises(NotFound):
        trust(str(tmp_path / "typo"), state)


def test_a_record_that_names_another_directory_trusts_nobody(project: Path, state: str) -> None:
    trust(str(project), state)
    record = next((Path(state) / "trust").iterdir())
    record.write_text("/somewhere/else")
    assert not is_trusted(str(project), state)
    assert trusted(state) == []


def test_the_error_says_which_directory_to_trust(project: Path, state: str) -> None:
    config = str(project / "evcli.toml")
    with pytest.raises(NotTrusted) as caught:
        require_trust(config, "bank.py", state)
    assert "bank.py" in caught.value.message
    assert f"evcli trust {shlex.quote(str(project))}" in caught.value.hint
    trust(str(project), state)
    require_trust(config, "bank.py", state)


def test_without_a_place_for_trust_nothing_is_trusted(project: Path) -> None:
    with pytest.raises(NotTrusted):
        require_trust(str(project / "evcli.toml"), "bank.py", None)
