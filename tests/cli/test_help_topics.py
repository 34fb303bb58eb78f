import pytest

from evcli.cli.main import COMMANDS
from tests.cli.driving import Evcli

TOPICS = ["design", "exit-codes", "format", "guarantees", "reducers", "subscriptions", "time", "views"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--store", "x", "--help"], ["help"]])
def test_the_overview_lists_every_command(evcli: Evcli, arguments: list[str]) -> None:
    out = evcli.ok(*arguments).out.decode()
    assert out.index("Examples:") < out.index("Commands:")
    assert all(f"evcli {command.words}" in out for command in COMMANDS)


@pytest.mark.parametrize("words", [command.words for command in COMMANDS])
def test_the_help_of_a_command_begins_with_examples(evcli: Evcli, words: str) -> None:
    out = evcli.ok(*words.split(), "--help").out.decode()
    assert out.startswith(f"Examples:\n  evcli {words}") or words in ("append", "help")
    assert "Usage: evcli " + words in out
    for option in ("--store", "--config", "--output", "--json", "--raw", "--color", "--quiet"):
        assert option in out
    assert evcli.ok(*words.split(), "-h").out.decode() == out


def test_help_on_a_command_is_its_help(evcli: Evcli) -> None:
    for words in ("log", "query state"):
        assert evcli.ok("help", *words.split()).out == evcli.ok(*words.split(), "--help").out


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_is_printed(evcli: Evcli, topic: str) -> None:
    assert evcli.ok("help", topic).out.startswith(b"# ")
    assert topic in evcli.ok("help").out.decode()


def test_a_topic_that_is_not_there_lists_those_that_are(evcli: Evcli) -> None:
    assert "did you mean 'evcli help reducers'" in evcli.fails(2, "help", "reducer")
    assert "exit-codes" in evcli.fails(2, "help", "nonsense")


def test_the_version_is_printed(evcli: Evcli) -> None:
    from evcli import __version__

    for arguments in (["--version"], ["-V"], ["-q", "--version"]):
        assert evcli.ok(*arguments).out.decode() == f"evcli {__version__}\n"
