"""Given / when / then for Python tests, run by the same engine as ``evcli test``.

>>> from evcli.testing import given
>>> def test_what_is_not_there_cannot_be_withdrawn():                              # doctest: +SKIP
...     account = given(("account.opened", {"owner": "Ann"}), decider="bank.py")
...     account.when("withdraw", amount=5).then_rejected("insufficient_funds")

A test that fails raises `AssertionError` with a diff of what was expected and what was the case.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from evcli import places
from evcli.domain.tries import TIMEOUT
from evcli.errors import CodeFailed, EvcliError, Usage
from evcli.project.choosing import Choice
from evcli.specs.model import DEFAULT_STREAM, Place, read_spec
from evcli.specs.report import difference_rows
from evcli.specs.running import run_spec

Happening = tuple[str, Any] | tuple[str, str, Any] | Mapping[str, Any]
"""An event: ``("money.deposited", {"amount": 10})``, ``("accounts/bob", "money.received", {…})`` in another stream, or a
mapping as a spec file has it."""

_PAIR = 2
_TRIPLE = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """What has happened, and perhaps what is wanted now; see `given`. Each ``then…`` runs it afresh."""

    choice: Choice
    members: Mapping[str, Any]
    timeout: float | None = TIMEOUT

    def when(
        self,
        command: str,
        data: Any = None,  # noqa: ANN401 (a JSON value)
        /,
        **arguments: Any,  # noqa: ANN401
    ) -> Self:
        """Say which command comes: its arguments as ``data``, or by name.

        Raises:
            Usage: If they are given both ways.
        """
        if data is not None and arguments:
            raise Usage("the command's arguments are given twice", "give them as one value, or by name")
        return replace(
            self, members={**self.members, "when": {"type": command, "data": arguments if data is None else data}}
        )

    def then(self, *events: Happening) -> Self:
        """Assert that just these events follow from the command; no events: that it is accepted, and nothing follows."""
        __tracebackhide__ = True
        return self._check([_members(event) for event in events])

    def then_rejected(self, why: str | None = None) -> Self:
        """Assert that the decider rejects the command; ``why`` is its code or its reason."""
        __tracebackhide__ = True
        return self._check({"rejected": True if why is None else why})

    def then_conflict(self, code: str | None = None) -> Self:
        """Assert that what the decider demands of the store (``expect``, ``require_none``) is not so."""
        __tracebackhide__ = True
        return self._check({"conflict": True if code is None else code})

    def then_state(self, state: Any) -> Self:  # noqa: ANN401 (a JSON value)
        """Assert what the stream's state is, after the command's events if there is a command."""
        __tracebackhide__ = True
        return self._check({"state": state})

    def _check(self, then: Any) -> Self:  # noqa: ANN401
        __tracebackhide__ = True
        spec = read_spec({**self.members, "then": then}, Place("this test", 0, 1))
        outcome = run_spec(spec, self.choice.load(), timeout=self.timeout)
        if not outcome.ok:
            rows = difference_rows(outcome)
            text = "\n".join("".join(text for text, _ in row) for row in rows)
            raise AssertionError(f"it came out otherwise\n{text}") from _of_the_users(outcome.error)
        return self


def given(
    *events: Happening,
    stream: str = DEFAULT_STREAM,
    decider: str | os.PathLike[str] | None = None,
    reducer: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    timeout: float | None = TIMEOUT,
) -> Scenario:
    """Say what has happened, each event in a commit of its own.

    Args:
        events: The events.
        stream: The stream of those that name none, to which the command comes.
        decider: ``FILE.py`` or ``exec:PROGRAM``, from the working directory; else as configured for the stream.
        reducer: Likewise, or a built-in's name; else the decider's own, else as configured.
        config: The ``evcli.toml``; else ``EVCLI_CONFIG``, else the nearest from the working directory upwards, else the
            store's. What it names must be trusted.
        timeout: Seconds that a decider may take; None for any.

    Raises:
        BadConfig: If ``config`` names a file that is not there.
    """
    env, cwd = os.environ, os.getcwd()
    option = None if config is None else os.fspath(config)
    path = places.find_config(option, env, places.find_store(None, env, cwd), near=cwd)
    words = (None if each is None else os.fspath(each) for each in (reducer, decider))
    choice = Choice(path, places.state_root(env), cwd, *words)
    return Scenario(choice, {"stream": stream, "given": [_members(event) for event in events]}, timeout)


def _of_the_users(error: BaseException | None) -> BaseException | None:
    """Return the exception in the user's own code that an error comes from; None where it was no exception."""
    if not isinstance(error, CodeFailed):
        return None
    found: BaseException = error
    while found.__cause__ is not None:
        found = found.__cause__
    return None if isinstance(found, EvcliError) else found


def _members(event: Happening) -> dict[str, Any]:
    if isinstance(event, Mapping):
        return dict(event)
    if isinstance(event, tuple) and len(event) in (_PAIR, _TRIPLE):
        names = ("type", "data") if len(event) == _PAIR else ("stream", "type", "data")
        return dict(zip(names, event, strict=True))
    raise Usage(f"{event!r:.100} is no event", 'write ("money.deposited", {"amount": 10})')
