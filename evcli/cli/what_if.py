"""The options of ``replay`` that suppose another history: ``--without``, ``--insert``, ``--set``."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from evcli.cli.extents import is_one_stream, read_extents
from evcli.cli.fields import read_fields
from evcli.cli.options import Context, standard_input
from evcli.cli.parameters import Option
from evcli.cli.states import print_state, state_record
from evcli.domain.events import NewEvent
from evcli.domain.patches import changes_between
from evcli.domain.pointers import parse_pointer
from evcli.errors import CodeFailed, Refused, Usage
from evcli.replay import StreamState, read_events, replay_stream
from evcli.storage.codec import input_line, loads
from evcli.time_travel.rejudging import Judged, Rejudging, commits_by_version
from evcli.time_travel.what_if import Insertion, Setting, Supposition, VersionRange, supposed_events

Without = Annotated[
    list[str] | None,
    Option("--without", metavar="V|A..B|type=GLOB", help="What if these events had not happened"),
]
Insert = Annotated[
    list[str] | None, Option("--insert", metavar="FILE@V", help="What if FILE's events came after version V")
]
Decide = Annotated[
    bool, Option("--decide", help="Judge recorded commands again: which would then be rejected is told on stderr")
]
Set = Annotated[
    list[str] | None,
    Option("--set", metavar="V/POINTER=TEXT|:=JSON", help="What if the event of version V said this"),
]

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_CAN_BE_SET: Final = ("type", "data", "meta", "time", "id", "v")
_FORM: Final = "write --without 3, --without 3..5 or --without 'type=coupon.*'"


def read_supposition(
    without: Sequence[str] | None, insert: Sequence[str] | None, settings: Sequence[str] | None, *, decide: bool
) -> Supposition | None:
    """Read the options; None where none is given.

    Raises:
        Refused: If a line of a file, or a value, could not be stored.
        Usage: If one cannot be read.
    """
    if not (without or insert or settings or decide):
        return None
    types = tuple(text.removeprefix("type=") for text in without or () if text.startswith("type="))
    ranges = tuple(_read_range(text) for text in without or () if not text.startswith("type="))
    if not all(types):
        raise Usage("--without type= names no type", _FORM)
    if sum(text.startswith("-@") for text in insert or ()) > 1:
        raise Usage(
            "standard input can be inserted once", "write the events into a file, and name it as often as needed"
        )
    insertions = tuple(_read_insertion(text) for text in insert or ())
    found = tuple(_read_setting(name, text) for name, text in read_fields(settings or ()).items())
    return Supposition(ranges, types, insertions, found)


def print_supposed(
    context: Context,
    names: Sequence[str],
    moment: tuple[str | None, int | None],
    reducer: str | None,
    supposition: Supposition,
    *,
    decide: bool,
    diff: bool,
    with_version: bool,
) -> int:
    """Print the state of a supposed history, or what differs in it from reality; return 1 if that was asked and anything does.

    ``moment`` are ``--until`` and ``--to``, which bound the stored history; with ``decide`` the recorded commands are
    judged again, and those that would come to something else are told of.

    Raises:
        Usage: If it is not one stream's.
    """
    if not is_one_stream(names):
        raise Usage("what if is asked of one stream", "name it, as in 'evcli replay accounts/ann --without 3'")
    ((stream, version),), end, _ = read_extents(context, names, *moment)
    fold, log = context.store.definition(stream, reducer).load(), context.store.log
    events = supposed_events(log, stream, supposition, end=end, to=version)
    again = _rejudging(context, stream, supposition, end=end, to=version) if decide else None
    try:
        state = fold.fold(fold.initial(), again.events(events) if again else events)
    except CodeFailed as error:
        error.hint = "the history was changed: look at what is left out, inserted and set (a number is set by :=)"
        raise
    if again is not None:
        context.out.explain(Judged._fields, [judged._asdict() for judged in again.found], name="decide")
    supposed = StreamState(stream, version, state)
    if not diff:
        print_state(context, supposed, with_version=with_version)
        return 0
    real = replay_stream(log, stream, fold, end=end, to=version)
    changes = list(changes_between(state_record(real)["state"], state_record(supposed)["state"]))
    context.out.changes(changes)
    return 1 if changes else 0


def _rejudging(context: Context, stream: str, supposition: Supposition, *, end: int, to: int) -> Rejudging:
    decider, definition, _, timeout = context.store.deciding(stream)
    commits = commits_by_version(read_events(context.store.log, stream, end=end, to=to))
    changed = {setting.version for setting in supposition.settings}
    return Rejudging(decider, definition.load(), commits=commits, changed=changed, timeout=timeout)


def _read_range(text: str) -> VersionRange:
    first, dots, last = text.partition("..")
    if not (first or last) or not all(_NUMBER.fullmatch(part) for part in (first, last) if part):
        raise Usage(f"--without {text!r} names no events", _FORM)
    begin = int(first) if first else 1
    end = (int(last) if last else None) if dots else begin
    if begin < 1 or (end is not None and end < begin):
        raise Usage(f"--without {text!r} names no events", "versions count from 1, and a range goes upwards")
    return VersionRange(begin, end)


def _read_insertion(text: str) -> Insertion:
    name, _, version = text.rpartition("@")
    if not name or not _NUMBER.fullmatch(version):
        raise Usage(
            f"--insert {text!r} does not say where", "write FILE@V: after version V, or 0 for before the first event"
        )
    return Insertion(int(version), tuple(_read_events(name)))


def _read_events(name: str) -> Iterator[NewEvent]:
    with ExitStack() as closing:
        file = standard_input() if name == "-" else closing.enter_context(open(name, "rb"))
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield input_line(line).event
                except Refused as error:
                    error.message = f"{name}, line {number}: {error.message}"
                    raise


def _read_setting(name: str, text: str) -> Setting:
    version, slash, pointer = name.partition("/")
    if not slash or not _NUMBER.fullmatch(version) or int(version) < 1:
        raise Usage(
            f"--set {name!r} names no place in an event", "write V/POINTER=TEXT or :=JSON, as in 12/data/qty:=3"
        )
    place = parse_pointer(slash + pointer)
    if place[0] not in _CAN_BE_SET:
        raise Usage(
            f"--set {name!r}: no event has its own {place[0]!r} to set",
            f"begin the pointer with one of /{', /'.join(_CAN_BE_SET)}",
        )
    return Setting(int(version), place, loads(text))
