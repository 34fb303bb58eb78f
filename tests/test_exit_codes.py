"""Exit codes are one per kind of failure, and the help topic lists all of them."""

import pickle
import re
from collections.abc import Iterator

from evcli import errors
from evcli.cli.help import topic_text
from evcli.errors import EvcliError

_ROW = re.compile(r"^\| (\d+)? *\| (\w+)? *\| (.+?) *\|$", re.MULTILINE)
FROM_SIGNALS = {130, 141, 143}


def _below(error: type[EvcliError]) -> Iterator[type[EvcliError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _below(subclass)


def _rows_of_the_topic() -> dict[str, int]:
    """Return the topic's table: code to exit code; a row without an exit code has that of the one above."""
    found: dict[str, int] = {}
    exit_code = -1
    for row in _ROW.finditer(topic_text("exit-codes")):
        exit_code = int(row[1]) if row[1] else exit_code
        found[row[2] or f"({exit_code})"] = exit_code
    return found


def test_each_kind_of_failure_has_an_exit_code_of_its_own() -> None:
    kinds = EvcliError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)


def test_a_special_case_has_the_exit_code_of_its_kind() -> None:
    assert [
        error for kind in EvcliError.__subclasses__() for error in _below(kind) if error.exit_code != kind.exit_code
    ] == []


def test_each_error_has_a_code_of_its_own_for_programs() -> None:
    every = list(_below(EvcliError))
    assert len({error.code for error in every} | {EvcliError.code}) == len(every) + 1
    assert [error for error in every if "code" not in vars(error)] == []


def test_every_error_stands_in_errors_py() -> None:
    assert [error for error in _below(EvcliError) if error.__module__ != errors.__name__] == []


def test_the_topic_lists_every_exit_code_and_every_code_and_no_other() -> None:
    known = {error.code: error.exit_code for error in _below(EvcliError)}
    assert _rows_of_the_topic() == known | {f"({code})": code for code in FROM_SIGNALS | {0}}


def test_the_exit_codes_of_failures_do_not_meet_those_of_signals() -> None:
    assert all(0 < error.exit_code < min(FROM_SIGNALS) - 2 for error in _below(EvcliError))


def test_an_error_crosses_between_processes_as_it_is() -> None:
    error = errors.Damaged("streams/a.jsonl", 7, "torn", "mend it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert (type(again), str(again), again.facts) == (errors.Damaged, str(error), error.facts)
