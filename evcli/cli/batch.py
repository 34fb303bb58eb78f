"""``append --from``: lines from a file or a pipe, committed as they come, each part of them whole or not at all."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO, Final, NamedTuple

from evcli.cli.options import Context, standard_input
from evcli.cli.output import error_record
from evcli.cli.receipts import print_plan, print_receipt
from evcli.domain.conditions import Condition
from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, Expected
from evcli.domain.names import check_writable
from evcli.errors import AnswerIsNo, Conflict, DurabilityUnknown, EvcliError, Refused, Usage
from evcli.replay import StreamState
from evcli.storage.codec import MAX_LINE_BYTES, Split, input_line, line_splitter, with_meta
from evcli.storage.commit import MAX_COMMIT_BYTES
from evcli.storage.contract import Plan, Receipt

MOST_EVENTS: Final = 1000
MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 8 << 20


class Batch(NamedTuple):
    """What was asked for: where the lines go and how.

    ``stream`` is None where each line names its own; ``meta`` holds JSON texts for every event; ``unless`` says what must
    not be there; ``lock_wait`` is in seconds; ``rejects`` is the file for bad lines; ``field`` is the receipt's field to print.
    """

    stream: str | None
    expect: Expected
    meta: dict[str, str]
    unless: Sequence[Condition]
    lock_wait: float
    atomic: bool
    rejects: str | None
    dry_run: bool
    field: str | None


class _Line(NamedTuple):
    """An input line: its number from 1 and its bytes."""

    number: int
    text: bytes


def append_lines(context: Context, source: str, batch: Batch) -> int:
    """Append the lines of a file, or of standard input (``-``); return the exit code."""
    with ExitStack() as closing:
        file = standard_input() if source == "-" else closing.enter_context(open(source, "rb"))
        rejects = None
        if batch.rejects is not None:
            # A dry run sets nothing aside.
            path = os.devnull if batch.dry_run else batch.rejects
            rejects = closing.enter_context(open(path, "ab"))
            if not batch.dry_run and os.path.samestat(os.fstat(file.fileno()), os.fstat(rejects.fileno())):
                raise Usage("--rejects names the input itself", "give it another file")
        appending = _Appending(context, source, batch, rejects)
        try:
            for lines in _parts(file.fileno(), atomic=batch.atomic):
                appending.add(lines)
        except Refused as error:
            if "next_line" in error.facts:
                raise
            raise appending.at(error.facts["line"], error) from error  # the input itself was too long to be read
        if appending.rejected:
            raise AnswerIsNo(
                f"{appending.rejected} of {appending.read} lines were set aside",
                f"mend them in {batch.rejects} and append that",
            )
    return 0


def _parts(fd: int, *, atomic: bool) -> Iterator[list[_Line]]:
    """Yield lines to be committed together: of a pipe what is there, of a file up to 1,000 or 1 MiB, atomically all."""
    live = not stat.S_ISREG(os.fstat(fd).st_mode)
    part: list[_Line] = []
    size = number = 0
    for lines in _reads(fd):
        for line in lines:
            number += 1
            if not line.strip():
                continue
            if len(line) > LONGEST_LINE:
                if part and not atomic:
                    yield part
                raise Refused("a line of over 8 MiB", "give JSON lines: one object a line", line=number)
            if part and not atomic and (len(part) >= MOST_EVENTS or size + len(line) > MOST_BYTES):
                yield part
                part, size = [], 0
            part.append(_Line(number, line))
            size += len(line)
            if size > MAX_COMMIT_BYTES:
                hint = "append it without --atomic, or in several files"
                raise Refused("the input is over 64 MiB", hint, line=number)
        if part and live and not atomic:
            yield part
            part, size = [], 0
    if part:
        yield part


def _reads(fd: int) -> Iterator[list[bytes]]:
    """Yield the complete lines of each read; at the end, or when it gets too long, what is left without a newline."""
    rest = b""
    while text := os.read(fd, MOST_BYTES):
        *lines, rest = (rest + text).split(b"\n")
        yield [*lines, rest] if len(rest) > LONGEST_LINE else lines
    if rest:
        yield [rest]


class _Appending:
    """Appends parts one after another and keeps count."""

    def __init__(self, context: Context, source: str, batch: Batch, rejects: BinaryIO | None) -> None:
        self._context = context
        self._source = source
        self._batch = batch
        self._rejects = rejects
        self._expect = batch.expect
        self._plan: Plan | None = None
        self._states: dict[str, StreamState] = {}
        self._stored = 0
        self._held: list[tuple[_Line, Refused]] = []
        self.read = 0
        self.rejected = 0

    def add(self, lines: list[_Line]) -> None:
        """Append one part as one commit, without its bad lines if these are set aside."""
        self.read += len(lines)
        split = line_splitter(len(lines))
        parsed = [(line, found) for line in lines if (found := self._parse(line, split)) is not None]
        while parsed:
            grouped: dict[str, list[tuple[_Line, NewEvent]]] = {}
            for read, (stream, event) in parsed:
                grouped.setdefault(stream, []).append((read, event))
            ordered = [line for pairs in grouped.values() for line, _ in pairs]
            try:
                receipt = self._commit({stream: [event for _, event in pairs] for stream, pairs in grouped.items()})
            except Refused as error:
                if error.index is None:
                    raise self.at(lines[0].number, error) from error
                bad = ordered[error.index]
                self._refuse(bad, error)
                parsed = [pair for pair in parsed if pair[0] != bad]
            except DurabilityUnknown as error:
                error.message = f"lines {lines[0].number}-{lines[-1].number}: {error.message}"
                raise
            except Conflict as error:
                raise self.at((lines[0] if error.index is None else ordered[error.index]).number, error) from error
            except EvcliError as error:
                raise self.at(lines[0].number, error) from error
            else:
                self._set_aside()
                self._print(receipt)
                break
        self._set_aside()
        self._stored = lines[-1].number

    def _parse(self, line: _Line, split: Split) -> tuple[str, NewEvent] | None:
        try:
            return self._read(line.text, split)
        except Refused as error:
            self._refuse(line, error)
            return None

    def _read(self, text: bytes, split: Split) -> tuple[str, NewEvent]:
        if len(text) > MAX_LINE_BYTES:
            raise Refused("a line of over 1 MiB", "keep the document in a file, and its name and hash in the event")
        named, event = input_line(text, split)
        stream = self._batch.stream or named
        if stream is None:
            raise Refused("no stream", 'name one for all lines, or one in each: {"stream":"accounts/ann","type":…}')
        return check_writable(stream), with_meta(event, self._batch.meta)

    def _refuse(self, line: _Line, error: Refused) -> None:
        """Hold a bad line to be set aside, or stop at it."""
        if self._rejects is None:
            raise self.at(line.number, error) from error
        self._held.append((line, error))

    def _set_aside(self) -> None:
        """Set aside the bad lines of a part, once it is known what became of the others."""
        assert self._rejects is not None or not self._held
        for line, error in sorted(self._held, key=lambda held: held[0].number):
            if self._rejects is not None:
                self._rejects.write(line.text + b"\n")
                self._rejects.flush()
            self.rejected += 1
            error.facts["line"] = line.number
            self._context.out.record(error_record(error), f"line {line.number} set aside: {error}")
        self._held = []

    def at(self, number: int, error: EvcliError) -> EvcliError:
        """Add to an error which line it is about and how to go on."""
        error.facts |= {"line": number, "next_line": self._stored + 1}
        stored = 0 if self._batch.dry_run else self._stored
        lines = "line 1 is" if stored == 1 else f"lines 1-{stored} are"
        before = f"{lines} stored" if stored else "nothing was stored"
        if self._batch.atomic or self._source == "-":
            after = f"{before}; line {self._stored + 1} comes next"
        else:
            after = f"{before}; go on with: tail -n +{self._stored + 1} {self._source} | evcli append … --from -"
        error.message = f"line {number}: {error.message}"
        error.hint = f"{error.hint}; {after}" if error.hint else after
        return error

    def _commit(self, events: dict[str, list[NewEvent]]) -> Receipt:
        writes = [Write(stream, listed, self._expect) for stream, listed in events.items()]
        if self._batch.dry_run:
            self._plan = self._context.store.log.plan(writes, self._plan, unless=self._batch.unless)
            receipt = self._plan.receipt
        else:
            receipt = self._context.store.commit(writes, lock_wait=self._batch.lock_wait, unless=self._batch.unless)
        if self._expect != ANY:
            self._expect = receipt.version
        return receipt

    def _print(self, receipt: Receipt) -> None:
        if self._plan is not None:
            self._states |= print_plan(self._context, self._plan, self._states)
        else:
            print_receipt(self._context, receipt, field=self._batch.field)
