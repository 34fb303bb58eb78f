import re
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.events import Event
from evcli.domain.reducers import ReducerDefinition
from evcli.errors import BadConfig, EvcliError, NotTrusted, Usage
from evcli.project.config import load_config, parse_reducer
from evcli.project.definitions import (
    BuiltInDefinition,
    ProgramDefinition,
    PythonDefinition,
    RulesDefinition,
)
from evcli.project.trust import trust

EVENT = Event(
    position=1, stream="a/b", version=1, time="2026-11-23T08:00:00.000000Z", type="item.received", data={"qty": 2}
)

PYTHON = """
from rates import RATE
initial = 0
def evolve(state, event):
    import late
    return state + RATE + late.MORE
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bank.py").write_text(PYTHON)
    (folder / "rates.py").write_text("RATE = 10\n")
    (folder / "late.py").write_text("MORE = 1\n")
    return folder


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def configure(project: Path, text: str) -> str:
    (project / "evcli.toml").write_text(text)
    return str(project / "evcli.toml")


def apply(definition: ReducerDefinition) -> Any:
    reducer = definition.load()
    return reducer.fold(reducer.initial(), [EVENT])


def named(project: Path, text: str = "bank.py") -> ReducerDefinition:
    return parse_reducer(text, str(project), from_command_line=True)


# what the file says


def test_without_a_file_streams_are_merged() -> None:
    assert load_config(None).definition_for("accounts/ann") == BuiltInDefinition("merge")


def test_the_first_pattern_that_matches_decides(project: Path) -> None:
    config = load_config(
        configure(
            project,
            """
            [streams."accounts/ann"]
            reducer = "count"
            [streams."accounts/*"]
            reducer = "last"
            decider = "bank.py"
            [streams."**"]
            """,
        )
    )
    assert config.definition_for("accounts/ann") == BuiltInDefinition("count")
    assert config.definition_for("accounts/bob") == BuiltInDefinition("last")
    assert config.definition_for("accounts/bob/old") == BuiltInDefinition("merge")
    assert config.streams[1].decider == "bank.py"


def test_rules_are_data_and_need_no_trust(project: Path) -> None:
    path = configure(
        project,
        """
        [streams."inventory/**".reducer]
        initial = { qty = 1 }
        [streams."inventory/**".reducer.on]
        "item.received" = { inc = { qty = "/data/qty" }, set = { "last/at" = "/time" } }
        """,
    )
    definition = load_config(path).definition_for("inventory/x")
    assert isinstance(definition, RulesDefinition)
    assert apply(definition) == {"qty": 3, "last": {"at": EVENT["time"]}}


def test_a_program_runs_beside_the_file_from_its_own_initial_state(project: Path, state: str) -> None:
    (project / "answer").write_text("42")
    path = configure(project, '[streams."a/b"]\nreducer = "exec:head -n 1 >state; cat answer"\ninitial = {a = [1]}')
    trust(str(project), state)
    assert apply(load_config(path, state_root=state).definition_for("a/b")) == 42
    assert (project / "state").read_text() == '{"a":[1]}\n'


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[streams.a]\nreducer = \n", 2, ""),
        ("[streams.a\n", 1, ""),
        ("[stream.a]\n", 1, "stream"),
        ("\nview = 1\n", 2, "view"),
        ("streams = 1\n", 1, "streams"),
        ('[streams."a b"]\n', 1, 'streams."a b"'),
        ("[streams]\na = 1\n", 2, "streams.a"),
        ('[streams.a]\nreducer = "merge"\nredcer = "merge"\n', 3, "streams.a.redcer"),
        ('[streams.b]\nreducer = "merge"\n[streams."a/*"]\nreducer = "merg"\n', 4, 'streams."a/*".reducer'),
        ("[streams.a]\nreducer = 3\n", 2, "streams.a.reducer"),
        ('[streams.a]\nreducer = "exec: "\n', 2, "streams.a.reducer"),
        ("[streams.a]\n\ndecider = 3\n", 3, "streams.a.decider"),
        ('[streams.a]\nreducer = "count"\ninitial = 3\n', 3, "streams.a.initial"),
        ('[streams.a]\nreducer = "exec:cat"\ninitial = 2026-11-23\n', 3, "streams.a.initial"),
        ('[streams.a]\nreducer = "exec:cat"\ninitial = { x = [nan] }\n', 3, "streams.a.initial"),
        ('[streams.a.reducer]\n[streams.a.reducer.on]\n"y" = { inc = { n = 1 } }\n"x.z" = { icn = { n = 1 } }\n', 4,
         'streams.a.reducer.on."x.z".icn'),
        ("[streams.a.reducer]\nintial = {}\non = {}\n", 2, "streams.a.reducer.intial"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_key(project: Path, text: str, line: int, key: str) -> None:
    path = configure(project, text)
    with pytest.raises(BadConfig) as caught:
        load_config(path)
    assert (caught.value.facts["line"], caught.value.facts["key"]) == (line, key)
    assert caught.value.message.startswith(f"{path}:{line}: ")


def test_a_file_that_is_not_utf_8_or_cannot_be_read_is_named(project: Path) -> None:
    (project / "evcli.toml").write_bytes(b"# a\n# \xff\n")
    with pytest.raises(BadConfig, match=r"evcli\.toml:2: this is not UTF-8"):
        load_config(str(project / "evcli.toml"))
    with pytest.raises(BadConfig, match="cannot be read"):
        load_config(str(project))


def test_a_missing_python_file_is_an_error_only_for_its_streams(project: Path) -> None:
    config = load_config(configure(project, '[streams.a]\n[streams.b]\nreducer = "bnak.py"\n'))
    config.definition_for("a")
    with pytest.raises(BadConfig, match=r"evcli\.toml:3: streams\.b: there is no file .*bnak\.py"):
        config.definition_for("b")


# what the command line says


def test_a_reducer_is_named_on_the_command_line(project: Path) -> None:
    assert named(project, "count") == BuiltInDefinition("count")
    assert isinstance(named(project, "exec:cat"), ProgramDefinition)
    assert isinstance(named(project), PythonDefinition)
    assert apply(named(project)) == 11
    assert apply(named(project, "exec:pwd >here; echo 1")) == 1
    assert (project / "here").read_text().strip() == str(project)


@pytest.mark.parametrize("text", ["cuont", "", "exec:", "bank.txt", "gone.py"])
def test_an_unknown_reducer_is_a_usage_error(project: Path, text: str) -> None:
    with pytest.raises(Usage) as caught:
        named(project, text)
    if text == "cuont":
        assert re.search("merge, count, last, list", caught.value.hint)


# trust


@pytest.mark.parametrize("reducer", ["bank.py", "exec:cat"])
def test_code_named_by_the_file_runs_only_when_trusted(project: Path, state: str, reducer: str) -> None:
    path = configure(project, f'[streams.a]\nreducer = "{reducer}"\n')
    (project / "rates.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\nRATE = 1\n")
    with pytest.raises(NotTrusted, match=re.escape(reducer.removeprefix("exec:"))):
        load_config(path, state_root=state).definition_for("a").load()
    assert not (project / "ran").exists()
    trust(str(project), state)
    load_config(path, state_root=state).definition_for("a").load()
    assert (project / "ran").exists() == (reducer == "bank.py")


def test_a_fingerprint_that_needs_a_load_needs_trust_and_a_known_one_does_not(
    project: Path, state: str, cache: str
) -> None:
    path = configure(project, '[streams.a]\nreducer = "bank.py"\n')
    with pytest.raises(NotTrusted):
        load_config(path, state_root=state).definition_for("a").fingerprint(cache)
    known = named(project).fingerprint(cache)
    assert load_config(path, state_root=state).definition_for("a").fingerprint(cache) == known
    (project / "rates.py").write_text("RATE = 11\n")
    with pytest.raises(NotTrusted):
        load_config(path, state_root=state).definition_for("a").fingerprint(cache)


def test_a_definition_with_a_known_fingerprint_still_needs_trust_to_run(project: Path, state: str, cache: str) -> None:
    named(project).fingerprint(cache)
    definition = load_config(configure(project, '[streams.a]\nreducer = "bank.py"\n'), state_root=state).definition_for(
        "a"
    )
    definition.fingerprint(cache)
    with pytest.raises(NotTrusted):
        definition.load()


# fingerprints


def test_fingerprints_tell_definitions_apart(project: Path) -> None:
    texts = ["merge", "count", "exec:cat", "exec:cat ", "bank.py", "rates.py"]
    (project / "rates.py").write_text(PYTHON.replace("from rates import", "from late import MORE as"))
    found = [named(project, text).fingerprint(None) for text in texts]
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in found)
    assert len(set(found)) == len(texts) - 1  # blanks around a command line say nothing


def test_the_order_of_rules_is_part_of_their_fingerprint(project: Path) -> None:
    rules = ['"a.*" = { inc = { n = 1 } }', '"a.b" = { inc = { n = 2 } }']
    found = set()
    for order in (rules, rules[::-1]):
        path = configure(project, "[streams.a.reducer.on]\n" + "\n".join(order))
        found.add(load_config(path).definition_for("a").fingerprint(None))
    assert len(found) == 2


@pytest.mark.parametrize("command", ["exec:awk -f sum.awk", "exec:cat|awk -f sum.awk>&1", "exec:awk -f 'sum.awk' # '"])
def test_a_file_named_in_a_command_line_is_part_of_its_fingerprint(project: Path, command: str) -> None:
    before = named(project, command).fingerprint(None)
    (project / "sum.awk").write_text("{ print 1 }")
    between = named(project, command).fingerprint(None)
    (project / "sum.awk").write_text("{ print 2 }")
    assert len({before, between, named(project, command).fingerprint(None)}) == (1 if command.endswith("# '") else 3)


def test_the_fingerprint_is_the_same_with_and_without_a_cache(project: Path, cache: str) -> None:
    loaded = named(project).fingerprint(None)
    assert named(project).fingerprint(cache) == loaded
    assert named(project).fingerprint(cache) == loaded


def test_a_known_fingerprint_imports_nothing(project: Path, cache: str) -> None:
    (project / "rates.py").write_text("with open(__file__ + '.runs', 'a') as runs: runs.write('run ')\nRATE = 1\n")
    for _ in range(3):
        named(project).fingerprint(cache)
    assert (project / "rates.py.runs").read_text() == "run "


@pytest.mark.parametrize("changed", ["bank.py", "rates.py", "late.py"])
def test_every_file_of_the_project_counts_also_one_imported_late(project: Path, cache: str, changed: str) -> None:
    before = named(project).fingerprint(cache)
    path = project / changed
    path.write_text(path.read_text().replace("1", "2") + "#")
    after = named(project).fingerprint(cache)
    assert after != before
    assert named(project).fingerprint(None) == after


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_that_does_not_belong_changes_nothing_and_one_that_shadows_does(
    project: Path, cache: str, *, cached: bool
) -> None:
    where = cache if cached else None
    before = named(project).fingerprint(where)
    (project / "other.py").write_text("")
    assert named(project).fingerprint(where) == before
    (project / "rates").mkdir()
    assert named(project).fingerprint(where) == before
    (project / "rates" / "__init__.py").write_text("RATE = 99")
    assert named(project).fingerprint(where) != before
    assert apply(named(project)) == 100


def test_an_optional_module_that_appears_counts(project: Path, cache: str) -> None:
    (project / "bank.py").write_text("try:\n    import extra\nexcept ImportError:\n    pass\n" + PYTHON)
    before = named(project).fingerprint(cache)
    (project / "extra.py").write_text("")
    assert named(project).fingerprint(cache) != before


def test_what_is_loaded_is_what_was_fingerprinted(project: Path, cache: str) -> None:
    named(project).fingerprint(cache)
    definition = named(project)
    definition.fingerprint(cache)
    (project / "rates.py").write_text("RATE = 20\n")
    assert apply(definition) == 11
    assert apply(named(project)) == 21


def test_a_moved_project_keeps_its_fingerprint(project: Path, tmp_path: Path) -> None:
    before = named(project).fingerprint(None)
    assert named(project.rename(tmp_path / "moved")).fingerprint(None) == before


@pytest.mark.parametrize("note", ["", "[]", "{", '{"entry": "bank.py", "files": 3, "lookups": []}', "null", "\\xff"])
def test_a_spoilt_note_is_made_anew(project: Path, cache: str, note: str) -> None:
    before = named(project).fingerprint(cache)
    (path,) = (Path(cache) / "code").iterdir()
    good = path.read_text()
    path.write_text(note)
    assert named(project).fingerprint(cache) == before
    assert path.read_text() == good


def test_a_cache_that_cannot_be_written_is_done_without(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert named(project).fingerprint(str(tmp_path / "file")) == named(project).fingerprint(None)


def test_every_error_has_a_next_step(project: Path) -> None:
    with pytest.raises(EvcliError) as caught:
        load_config(configure(project, "[stream.a]\n"))
    assert caught.value.hint
