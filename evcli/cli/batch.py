"""``append --from``: lines from a file or a pipe, committed as they come, each part of them whole or not at all."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple

from evcli.cli.input_parts import Line, Part, read_parts
from evcli.cli.options import Context, standard_input
from evcli.cli.output import error_record
from evcli.cli.receipts import print_plan, print_receipt
from evcli.domain.conditions import Condition
from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, Expected
from evcli.domain.names import check_writable
from evcli.errors import AnswerIsNo, Conflict, DurabilityUnknown, EvcliError, Refused, Usage
from evcli.replay import StreamState
from evcli.storage.codec import FEW_LINES, MAX_LINE_BYTES, Split, input_line, line_splitter, with_meta
from evcli.storage.contract import Plan, Receipt
from evcli.storage.event_texts import Group, line_of


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
            for part in read_parts(file.fileno(), atomic=batch.atomic):
                appending.add(part)
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
        self._held: list[tuple[Line, Refused]] = []
        self.read = 0
        self.rejected = 0

    def add(self, part: Part) -> None:
        """Append one part as one commit, without its bad lines if these are set aside."""
        self.read += len(part.lines)
        groups = self._group_at_once(part.lines) or self._group_each(part)
        while groups:
            try:
                receipt = self._commit({stream: group.events for stream, group in groups.items()})
            except Refused as error:
                if error.index is None:
                    raise self.at(part.numbers[0], error) from error
                bad = line_of(groups, error.index)
                self._refuse(part.at(bad), error)
                groups = {stream: rest for stream, group in groups.items() if (rest := group.without(bad)).places}
            except DurabilityUnknown as error:
                error.message = f"lines {part.numbers[0]}-{part.numbers[-1]}: {error.message}"
                raise
            except Conflict as error:
                place = 0 if error.index is None else line_of(groups, error.index)
                raise self.at(part.numbers[place], error) from error
            except EvcliError as error:
                raise self.at(part.numbers[0], error) from error
            else:
                self._set_aside()
                self._print(receipt)
                break
        self._set_aside()
        self._stored = part.numbers[-1]

    def _group_at_once(self, lines: Sequence[bytes]) -> dict[str, Group] | None:
        """Group lines that are many, and all of the plainest kind; None if they are not."""
        if self._batch.meta or len(lines) <= FEW_LINES:
            return None
        from evcli.storage.canonical_json import group_lines

        groups = group_lines(lines, self._batch.stream)
        try:
            return groups and {check_writable(stream): group for stream, group in groups.items()}
        except Refused:  # which line that is, the careful road tells
            return None

    def _group_each(self, part: Part) -> dict[str, Group]:
        """Group lines by their streams, without those that are refused."""
        split = line_splitter(len(part.lines))
        found: dict[str, tuple[list[NewEvent], list[int]]] = {}
        for place, text in enumerate(part.lines):
            try:
                stream, event = self._read(text, split)
            except Refused as error:
                self._refuse(part.at(place), error)
                continue
            events, places = found.setdefault(stream, ([], []))
            events.append(event)
            places.append(place)
        return {stream: Group(*listed) for stream, listed in found.items()}

    def _read(self, text: bytes, split: Split) -> tuple[str, NewEvent]:
        if len(text) > MAX_LINE_BYTES:
            raise Refused("a line of over 1 MiB", "keep the document in a file, and its name and hash in the event")
        named, event = input_line(text, split)
        stream = self._batch.stream or named
        if stream is None:
            raise Refused("no stream", 'name one for all lines, or one in each: {"stream":"accounts/ann","type":…}')
        return check_writable(stream), with_meta(event, self._batch.meta)

    def _refuse(self, line: Line, error: Refused) -> None:
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

    def _commit(self, events: Mapping[str, Sequence[NewEvent]]) -> Receipt:
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
