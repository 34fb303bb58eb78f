"""The hot path makes the calls that Typer makes, or none: two roads, one behaviour."""

import functools
import shlex
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.cli.hot_path import HOT, understand
from evcli.cli.main import COMMANDS
from evcli.cli.options import Context, OutputFormat, call, shared
from evcli.cli.parameters import Argument, Option, Parameter, parameters_of
from evcli.cli.typer_command import build_command

ROWS = [command for command in COMMANDS if command.words in HOT]
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
Call = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


class Roads:
    """One command, and the calls that its two roads make for the same words: keyword arguments, context, output."""

    def __init__(self, words: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = import_module(f"evcli.cli.{module}")
        self.parameters = [*parameters_of(loaded.run), *parameters_of(shared)]
        self._calls: list[Call] = []

        @functools.wraps(loaded.run)
        def recorder(context: Context, **given: Any) -> int:
            about = {name: value for name, value in vars(context).items() if name != "out"}
            self._calls.append((given, about, vars(context.out)))
            return 0

        self._recorder: Callable[..., int] = recorder
        monkeypatch.setattr(loaded, "run", recorder)
        self._command = build_command.__wrapped__(words, loaded.__name__)

    def by_typer(self, words: list[str]) -> Call | None:
        """Return Typer's call; None where it prints help or says what is wrong."""
        try:
            with self._command.make_context("evcli", list(words)) as context:
                self._command.invoke(context)
        except (typer.Exit, USAGE_ERROR):
            return None
        return self._calls.pop()

    def by_hot_path(self, words: list[str]) -> Call | None:
        """Return the hot path's call; None where it declines."""
        found = understand(self.parameters, words)
        if found is None:
            return None
        call(self._recorder, found)
        return self._calls.pop()


def some_words(parameters: list[Parameter]) -> st.SearchStrategy[list[str]]:
    """Words that a shell may give: mostly options with values that may suit them, and much that does not."""
    declared = [parameter.declared for parameter in parameters if isinstance(parameter.declared, Option)]
    names = [name for option in declared for name in (option.name, option.letter) if name]
    value = st.one_of(
        st.sampled_from(
            ("accounts/ann", "a.b", "amount:=1", "x=y", "5", "-5", "+5", "1_0", " 7", "٣", "0", "9" * 25, "-", "--")
        ),
        st.sampled_from(
            ("", "-q", "json", "JSON", "table", "raw", "auto", "never", "always", "--help", "-h", "\udcff", "-x")
        ),
        st.text(max_size=4),
    )
    name = st.sampled_from(names)
    piece = st.one_of(
        st.tuples(value),
        st.tuples(name),
        st.tuples(name, value),
        st.builds(lambda one, other: (f"{one}={other}",), name, value),
        st.builds(lambda one, other: (f"{one}{other}",), name, value),
        st.builds(lambda one: (one[:-1],), name),
        st.sampled_from([("--no-atomic",), ("-rq",), ("-ojson",), ("-qo", "json"), ("--store", "x", "--store", "y")]),
    )
    return st.lists(piece, max_size=6).map(lambda pieces: [word for piece in pieces for word in piece])


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_both_roads_make_the_same_call_or_the_hot_path_declines(row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    roads = Roads(row.words, row.module, monkeypatch)

    @settings(max_examples=400, deadline=None)
    @given(some_words(roads.parameters))
    def check(words: list[str]) -> None:
        plain = roads.by_hot_path(words)
        assert plain is None or plain == roads.by_typer(words)

    check()


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_what_the_examples_say_is_understood(row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    roads = Roads(row.words, row.module, monkeypatch)
    for example in import_module(f"evcli.cli.{row.module}").EXAMPLES.splitlines():
        line = shlex.split(example.rpartition("| ")[2])[1 + len(row.words.split()) :]
        for words in (line, ["--store", "x", "-o", "json", "--color=never", *line, "-q"]):
            plain = roads.by_hot_path(words)
            assert plain is not None, example
            assert plain == roads.by_typer(words)


def test_options_are_read_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    roads = Roads("append", "append", monkeypatch)
    words = "a/b c.d x=1 y=2 --meta k=v --unless 'a b' --unless 'c d' --after-position 7 --dry-run -r --store=s -o json"
    found = roads.by_hot_path(shlex.split(words))
    assert found is not None
    given, context, output = found
    assert (given["stream"], given["type"], given["data"]) == ("a/b", "c.d", ["x=1", "y=2"])
    assert (given["unless"], given["after_position"], given["dry_run"]) == (["a b", "c d"], 7, True)
    assert (given["from_"], given["lock_wait"], context["store_option"]) == (None, "10s", "s")
    assert output["requested"] == OutputFormat.raw


@pytest.mark.parametrize("row", COMMANDS, ids=[row.words for row in COMMANDS])
def test_what_is_declared_is_what_typer_has(row: Any) -> None:
    """Names, flags, several values, defaults, types and bounds, for each command: the hot path reads by the declaration."""
    module = import_module(f"evcli.cli.{row.module}")
    command = build_command(row.words, module.__name__)
    declared = {parameter.name: parameter for parameter in [*parameters_of(module.run), *parameters_of(shared)]}
    assert list(declared) == [param.name for param in command.params if param.name != "help"]
    for param in command.params:
        if param.name == "help":
            assert set(param.opts) == {"--help", "-h"}
            continue
        known = declared[param.name]
        assert not param.secondary_opts
        assert (param.nargs == -1 if isinstance(known.declared, Argument) else param.multiple) == known.many
        assert param.required == known.required
        default = [] if known.many else known.default
        assert param.get_default(typer.Context(command)) in (default, known.default)
        if isinstance(known.declared, Argument):
            assert param.param_type_name == "argument"
            continue
        assert param.param_type_name == "option"
        assert param.opts == [name for name in (known.declared.name, known.declared.letter) if name]
        assert param.is_flag == (known.type is bool)
        assert (getattr(param.type, "min", None), getattr(param.type, "max", None)) == known.declared[3:5]
        if issubclass(known.type, Enum):
            assert [*param.type.choices] == [*known.type]
        else:
            assert type(param.type.convert("1", param, None)) is known.type
