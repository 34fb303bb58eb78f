"""The ways evcli can fail: one class per kind, each kind with its own exit code.

Every error is one line for a person (``message`` and ``hint``), and for a program ``code``, ``exit_code`` and
``facts``. ``evcli help exit-codes`` lists them; the direct subclasses of `EvcliError` have distinct exit codes,
which follow BSD's sysexits(3) from 65 on.
"""

from evcli.light_typing import Any, ClassVar


class EvcliError(Exception):
    """A failure with a message, the next step, and facts for programs.

    Args:
        message: What is wrong, in one line, without a full stop.
        hint: The next step, in one line; may be empty.
        facts: JSON values that a program may want (``stream``, ``expected``, …).
    """

    code: str = "error"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, hint: str = "", **facts: Any) -> None:  # noqa: ANN401 (facts are JSON values)
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts: dict[str, Any] = facts

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors cross between processes, whatever arguments their class is made with."""
        return _restore, (type(self), self.__dict__)


def _restore(kind: type[EvcliError], state: dict[str, Any]) -> EvcliError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class AnswerIsNo(EvcliError):  # noqa: N818 (an answer, not a fault)
    """The answer is no: some lines were set aside, a check is false, a diff is not empty."""

    code = "answer_is_no"
    exit_code = 1


class Usage(EvcliError):  # noqa: N818
    """The command line cannot be understood."""

    code = "usage"
    exit_code = 2


class BadTime(Usage):
    """A time or duration in an option that cannot be read."""

    code = "bad_time"


class Conflict(EvcliError):  # noqa: N818
    """The store has moved on since the writer looked.

    ``index`` is the place of the event concerned among the events given, where it is one of them.
    """

    code = "conflict"
    exit_code = 3
    index: int | None = None


class WrongExpectedVersion(Conflict):
    """The stream is not at the version that the writer expected.

    Args:
        stream: The stream's name.
        expected: What the writer said: a number, ``none`` or ``exists``.
        actual: The version the stream is at, 0 where it does not exist.
    """

    code = "wrong_expected_version"

    def __init__(self, stream: str, expected: str, actual: int) -> None:
        super().__init__(
            f"{stream} is at version {actual}, expected {expected}",
            f"read what came since (evcli log {stream} --after {expected}) and decide again"
            if expected.isdigit() and int(expected) < actual
            else "read the stream and decide again",
            stream=stream,
            expected=expected,
            actual=actual,
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class ConditionNotMet(Conflict):
    """An event is there that must not be.

    Args:
        stream: The event's stream.
        version: Its version.
        position: Its position.
        condition: What must not be there, in words.
    """

    code = "condition_not_met"

    def __init__(self, stream: str, version: int, position: int, condition: str) -> None:
        super().__init__(
            f"{stream}@{version} (position {position}) must not be there: {condition}",
            f"look at it (evcli log {stream}@{version}..{version}) and decide again",
            stream=stream,
            version=version,
            position=position,
            condition=condition,
        )


class NotFound(EvcliError):  # noqa: N818
    """There is no such stream, view, key, version or store."""

    code = "not_found"
    exit_code = 4


class StoreNotFound(NotFound):
    """There is no store where one was to be read."""

    code = "store_not_found"


class StreamNotFound(NotFound):
    """There is no stream of that name."""

    code = "stream_not_found"

    def __init__(self, stream: str) -> None:
        super().__init__(f"no stream {stream}", "see what there is: evcli streams", stream=stream)


class Rejected(EvcliError):  # noqa: N818
    """A decider said no: the command may not happen in the state that its stream is in.

    Args:
        reason: Why, in one line, for a person.
        code: Why, for a program, as in ``"insufficient_funds"``; it takes the place of ``rejected``.
        facts: JSON values that a program may want.
    """

    code = "rejected"
    exit_code = 5

    def __init__(self, reason: str, /, *, code: str | None = None, **facts: Any) -> None:  # noqa: ANN401
        super().__init__(reason, **facts)
        self.reason = reason
        if code is not None:
            self.code = code


class Refused(EvcliError):  # noqa: N818
    """Input that cannot be stored safely; nothing of its commit was stored.

    ``index`` is the place of the offending event among the events given, where it is known.
    """

    code = "refused"
    exit_code = 65
    index: int | None = None


class IdReused(Refused):
    """An ``--id`` that the stream has already, with other content."""

    code = "id_reused"


class BadSpec(Refused):
    """A given/when/then spec is wrong.

    Args:
        file: The file that holds it.
        line: Its line in the file, from 1, or 0 where that is not known.
        key: The key concerned; may be empty.
        problem: What is wrong with it.
        spec: The spec's name, if it is known by then.
    """

    code = "bad_spec"

    def __init__(self, file: str, line: int, key: str, problem: str, *, spec: str = "") -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(
            f"{where}: {f'spec {spec!r}: ' if spec else ''}{key + ': ' if key else ''}{problem}",
            "'evcli help testing' shows what a spec holds",
            file=file,
            line=line,
            spec=spec,
            key=key,
        )


class CodeFailed(EvcliError):  # noqa: N818
    """A reducer (or another piece of the user's own code) failed."""

    code = "code_failed"
    exit_code = 69


class OverTime(CodeFailed):
    """The user's own code took longer than it may."""

    code = "over_time"


class Bug(EvcliError):  # noqa: N818
    """A bug in evcli."""

    code = "bug"
    exit_code = 70


class Damaged(EvcliError):  # noqa: N818
    """The store is damaged.

    Args:
        file: The file, relative to the store.
        offset: The byte offset where the damage begins.
        problem: What is wrong there.
        hint: The next step.
    """

    code = "damaged"
    exit_code = 72

    def __init__(self, file: str, offset: int, problem: str, hint: str = "") -> None:
        super().__init__(
            f"{file} is damaged at byte {offset}: {problem}",
            hint or "nothing was changed; run 'evcli verify', keep a copy, and restore the file from a backup",
            file=file,
            offset=offset,
        )
        self.file = file
        self.offset = offset
        self.problem = problem


class StorageFailed(EvcliError):  # noqa: N818
    """The operating system could not read or write; nothing was stored."""

    code = "io_error"
    exit_code = 74


class DurabilityUnknown(StorageFailed):
    """An fsync failed: what was being written may or may not survive; the next writer settles it."""

    code = "durability_unknown"


class Busy(EvcliError):  # noqa: N818
    """The store's lock, or what was waited for, did not come in time."""

    code = "busy"
    exit_code = 75


class NotPermitted(EvcliError):  # noqa: N818
    """The operating system or evcli's own rules do not allow it."""

    code = "not_permitted"
    exit_code = 77


class NotTrusted(NotPermitted):
    """Code named by an ``evcli.toml`` that nobody has allowed to run."""

    code = "not_trusted"


class BadConfig(EvcliError):  # noqa: N818
    """``evcli.toml`` is wrong.

    Args:
        file: Path of the file.
        line: Line number from 1, or 0 where it is not known.
        key: The key concerned, dotted; may be empty.
        problem: What is wrong with it.
    """

    code = "bad_config"
    exit_code = 78

    def __init__(self, file: str, line: int, key: str, problem: str) -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(
            f"{where}: {key + ': ' if key else ''}{problem}",
            "see 'evcli help reducers', 'views' and 'deciders' for what an evcli.toml holds",
            file=file,
            line=line,
            key=key,
        )
