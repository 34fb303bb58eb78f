"""What a store is, to everything above it: the contract that each back end satisfies."""

from collections.abc import Callable, Iterator, Sequence

from evcli.light_typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from evcli.domain.conditions import Condition
    from evcli.domain.events import Write


class Head(NamedTuple):
    """The end of the store: position, hash and time of its last counted commit (0, zeros and "" if it is empty).

    ``token`` is the back end's own.
    """

    position: int
    hash: str
    time: str
    token: int = 0


class Bookmark(NamedTuple):
    """The end of a commit in a stream, up to which its reader has verified it.

    ``version`` and ``time`` are those of the commit's last event; ``token`` is the back end's own.
    """

    version: int
    time: str
    token: str


class Chunk(NamedTuple):
    """Some of a stream's lines, in order: as they are stored, newlines included, the last one's version, and the bookmark after it.

    ``bookmark`` is None where the last line does not end a commit.
    """

    text: bytes
    version: int
    bookmark: Bookmark | None

    @property
    def lines(self) -> list[bytes]:
        """The lines, without newlines, split anew each time."""
        return self.text.split(b"\n")[:-1]


class StreamInfo(NamedTuple):
    """A stream: its version, the times of its first and last event, its size in bytes."""

    stream: str
    version: int
    first: str
    last: str
    size: int


class StreamReceipt(NamedTuple):
    """What one stream got of a commit: its version after it, and the number of events."""

    stream: str
    version: int
    count: int  # type: ignore[assignment]  # the commit's word for it; nobody counts in the tuple


class Receipt(NamedTuple):
    """What was stored: position and time of the last event, how many, and where.

    ``repeated`` counts events that were there already under their ids and were not stored again; when all were,
    ``count`` is 0 and the rest tells where the last of them stands.
    """

    position: int
    count: int  # type: ignore[assignment]  # the commit's word for it; nobody counts in the tuple
    time: str
    writes: tuple[StreamReceipt, ...]
    repeated: int = 0

    @property
    def version(self) -> int:
        """The version of the first stream written."""
        return self.writes[0].version

    def as_first(self) -> "Receipt":
        """Return a repeat's receipt as the first one was, as if nothing had happened since."""
        return self._replace(count=self.repeated, repeated=0) if self.repeated else self

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as it is printed."""
        if len(self.writes) == 1:
            stream, version, _ = self.writes[0]
            found: dict[str, Any] = {"stream": stream, "version": version, "position": self.position}
            found |= {"count": self.count, "time": self.time}
        else:
            found = {"position": self.position, "count": self.count, "time": self.time}
            found["writes"] = [write._asdict() for write in self.writes]
        return found | ({"repeated": self.repeated} if self.repeated else {})


class Plan(NamedTuple):
    """A commit that was worked out but not stored: its lines per stream, and the receipt it would have had."""

    lines: dict[str, list[bytes]]
    receipt: Receipt
    state: object
    """What the next plan builds upon; the back end's own."""


class Finding(NamedTuple):
    """Something in a store that is not as it should be.

    ``kind`` is one of ``journal`` (a line of it), ``commit`` (a stream's part of one), ``unexplained`` (bytes that the
    journal does not know), ``end`` (what was acknowledged is not whole), ``link``, ``truncated`` and ``rewritten``
    (against a checkpoint). ``line`` counts from 1; ``versions`` and ``positions`` are first and last of what is
    concerned; ``trust`` says what still holds.
    """

    kind: str
    file: str
    offset: int
    problem: str
    line: int | None = None
    stream: str | None = None
    versions: tuple[int, int] | None = None
    positions: tuple[int, int] | None = None
    trust: str = ""


class Report(NamedTuple):
    """What `EventStore.verify` has gone through, and what it found wrong."""

    streams: int
    events: int
    commits: int
    size: int
    head: Head
    in_progress: bool
    findings: tuple[Finding, ...] = ()


class RepairStep(NamedTuple):
    """One thing a repair does: to which file, and what; ``lost`` is how many events cannot be brought back."""

    file: str
    action: str
    lost: int = 0


class EventStore(Protocol):
    """An append-only store of streams with one global order.

    Readers need no lock, see whole commits only, and are bounded by ``end``, a position: what a `Head` that
    they took gives them is the same however often they read.
    """

    @property
    def id(self) -> str:
        """The store's own name, a UUID (RFC 9562), under which caches keep what belongs to it."""
        ...

    @property
    def location(self) -> str:
        """Where the store is, for a person."""
        ...

    def create(self, *, lock_wait: float) -> None:
        """Make the store if it is not there yet, durably.

        Raises:
            Busy: If the lock was not free in time.
            StorageFailed: If the operating system failed.
        """
        ...

    def append(
        self, writes: "Sequence[Write]", *, lock_wait: float, unless: "Sequence[Condition]" = (), once: bool = False
    ) -> Receipt:
        """Store the events of all ``writes`` as one commit, durably, or nothing.

        Events whose id their stream has already are left out, and counted in the receipt. ``lock_wait`` is in seconds;
        ``unless`` says what must not be there, which is looked at only where something is left to store. ``once``: an id
        stands for the whole commit, so where a stream has any of them nothing is stored.

        Raises:
            WrongExpectedVersion: If a stream is not at its expected version.
            ConditionNotMet: If an event is there that must not be.
            Refused: If an event cannot be stored; ``index`` counts over all the writes' events.
            Busy: If the lock was not free in time.
            Damaged: If what would be built upon is damaged.
            StorageFailed: If the operating system failed; DurabilityUnknown if it cannot be said what it kept.
        """
        ...

    def plan(self, writes: "Sequence[Write]", after: Plan | None = None, *, unless: "Sequence[Condition]" = ()) -> Plan:
        """Work out what `append` would store, after ``after`` was, and store nothing.

        Raises:
            EvcliError: As `append` would.
        """
        ...

    def head(self) -> Head:
        """Return the end of the store as of now."""
        ...

    def settled_head(self) -> Head:
        """Return the end up to which no crash takes a commit away any more, for whoever acts outside of the store."""
        ...

    def holds(self, position: int, digest: str) -> bool:
        """Say whether a commit ends at ``position`` with the hash ``digest``: whether it is the history it was."""
        ...

    def has_more(self, head: Head) -> bool:
        """Say, at the cost of one look, whether there may be commits after ``head``."""
        ...

    def find_id(self, stream: str, key: str) -> bytes | None:
        """Return the stored line of the stream's event with the id ``key``; None if it has none."""
        ...

    def streams(self, *, below: str = "") -> Iterator[str]:
        """Yield the names of all streams, evcli's own included, in the order of their names.

        ``below`` is a first part of names, as in ``accounts``: only those under it.
        """
        ...

    def info(self, stream: str, *, end: int) -> StreamInfo | None:
        """Describe a stream; None if it has no event up to position ``end``."""
        ...

    def version_at(self, stream: str, time: str, *, end: int) -> int:
        """Return the version of the stream's last event with a time not after ``time``; 0 if there is none."""
        ...

    def read_stream(
        self, stream: str, *, end: int, after: int = 0, to: int | None = None, bookmark: Bookmark | None = None
    ) -> Iterator[Chunk]:
        """Yield the stream's lines with versions above ``after``, up to and including ``to``, verified.

        With a ``bookmark`` (which takes the place of ``after``) nothing before it is read.

        Raises:
            BookmarkLost: If the stream has no such commit end at the bookmark.
            Damaged: As soon as something does not verify.
        """
        ...

    def read_all(
        self, *, end: int, after: int = 0, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[list[bytes]]:
        """Yield the lines of all wanted streams with positions above ``after`` in global order, verified, by commit.

        ``end`` falls at the end of a commit, as a head's position does; else the whole of that commit is given.

        Raises:
            Damaged: As soon as something does not verify.
        """
        ...

    def verify(self, *, against: tuple[int, str] | None = None) -> Report:
        """Check every seal, every hash, that versions and positions have no gap, and that journal and streams agree.

        Args:
            against: Position and hash of a checkpoint kept elsewhere, which the history must still hold.

        Raises:
            Damaged: For the first finding; ``facts["findings"]`` has all of them.
        """
        ...

    def repair(self, *, salvage: bool, dry_run: bool, lock_wait: float) -> list[RepairStep]:
        """Make a damaged store whole out of what is sound in it; return what was (``dry_run``: would be) done.

        Args:
            salvage: Whether ``evcli.gap`` events may take the place of lost ones.
            dry_run: Whether nothing is written.
            lock_wait: Seconds to wait for other writers.

        Raises:
            Damaged: If events are lost and ``salvage`` does not permit to go on without them, or nobody can mend it.
            Busy: If the lock was not free in time.
            StorageFailed: If the operating system failed; the repair can be done again.
        """
        ...


class BookmarkLost(Exception):  # noqa: N818 (a fact about a cache, no failure for the user)
    """The stream does not have the commit end that a bookmark names: the cache is of another history."""
