"""The store in memory: the same contract and the same lines, for tests and for trying things out."""

import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence

from evcli.domain.conditions import Condition
from evcli.domain.events import Write
from evcli.domain.names import check_name
from evcli.storage.clock import now
from evcli.storage.commit import EMPTY, Commit, Tip, check_writes
from evcli.storage.conditions import require_none
from evcli.storage.contract import Bookmark, BookmarkLost, Chunk, Head, Plan, Receipt, RepairStep, Report, StreamInfo
from evcli.storage.lines import Front, read_front, seal_in
from evcli.storage.repeats import ids_in, leave_out_repeats


class MemoryStore:
    """A store that is gone with its process; satisfies `evcli.storage.contract.EventStore`.

    Args:
        clock: Returns the instant that a commit's time is to be; None for the present one.
    """

    def __init__(self, *, clock: Callable[[], str] | None = None) -> None:
        self._clock = clock
        self._id = str(uuid.uuid4())
        self._head = EMPTY
        self._tips: dict[str, Tip] = {}
        self._lines: dict[str, list[bytes]] = {}
        self._commits: list[list[bytes]] = []
        self._hashes = {EMPTY.position: EMPTY.hash}

    @property
    def id(self) -> str:
        """The store's UUID."""
        return self._id

    @property
    def location(self) -> str:
        """Where the store is, for a person."""
        return "memory"

    def create(self, *, lock_wait: float = 10.0) -> None:
        """Do nothing: it is there."""

    def append(
        self,
        writes: Sequence[Write],
        *,
        lock_wait: float = 10.0,  # noqa: ARG002 (nobody else writes)
        unless: Sequence[Condition] = (),
        once: bool = False,
    ) -> Receipt:
        """Store all ``writes`` as one commit; see the contract."""
        commit, receipt = self._build(self._head, self._tips, writes, {}, unless, once=once)
        if commit is None:
            return receipt
        lines: list[bytes] = []
        for part in commit.parts:
            new = part.lines()
            self._lines.setdefault(part.write.stream, []).extend(new)
            self._tips[part.write.stream] = part.tip
            lines += new
        self._commits.append(lines)
        self._head = commit.head._replace(token=len(self._commits))
        self._hashes[self._head.position] = self._head.hash
        return receipt

    def _build(
        self,
        head: Head,
        tips: Mapping[str, Tip],
        writes: Sequence[Write],
        planned: Mapping[str, Sequence[bytes]],
        unless: Sequence[Condition],
        *,
        once: bool = False,
    ) -> tuple[Commit | None, Receipt]:
        check_writes(writes)
        remaining = leave_out_repeats(
            writes, lambda stream, _: ids_in((*self._lines.get(stream, ()), *planned.get(stream, ()))), once=once
        )
        remaining.check_expected(tips)
        if remaining.writes:
            require_none(self, unless, end=self._head.position)
        return remaining.build(head, tips, now=self._clock() if self._clock else now())

    def find_id(self, stream: str, key: str) -> bytes | None:
        """Return the stored line of the stream's event with the id ``key``; None if it has none."""
        return ids_in(self._lines.get(check_name(stream), ())).get(key)

    def plan(self, writes: Sequence[Write], after: Plan | None = None, *, unless: Sequence[Condition] = ()) -> Plan:
        """Work out what `append` would store; see the contract."""
        head, tips, planned = (
            after.state if after and isinstance(after.state, tuple) else (self._head, dict(self._tips), {})
        )
        commit, receipt = self._build(head, tips, writes, planned, unless)
        if commit is None:
            return Plan({}, receipt, (head, tips, planned))
        tips = tips | {part.write.stream: part.tip for part in commit.parts}
        lines = {part.write.stream: part.lines() for part in commit.parts}
        planned = planned | {stream: [*planned.get(stream, ()), *lines[stream]] for stream in lines}
        return Plan(lines, receipt, (commit.head, tips, planned))

    def head(self) -> Head:
        """Return the end of the store."""
        return self._head

    def settled_head(self) -> Head:
        """Return the end of the store: no crash spares what is in memory."""
        return self._head

    def holds(self, position: int, digest: str) -> bool:
        """Say whether a commit ends at ``position`` with the hash ``digest``; see the contract."""
        return self._hashes.get(position) == digest

    def has_more(self, head: Head) -> bool:
        """Say whether there are commits after ``head``."""
        return head.token != self._head.token

    def streams(self, *, below: str = "") -> Iterator[str]:
        """Yield the names of all streams in the order of their names; see the contract."""
        return iter(sorted(name for name in self._lines if not below or name.startswith(below + "/")))

    def info(self, stream: str, *, end: int) -> StreamInfo | None:
        """Describe a stream; None if it has no event up to position ``end``."""
        lines = self._counted(stream, end)
        if not lines:
            return None
        first, last = _front(lines[0]), _front(lines[-1])
        return StreamInfo(stream, last.version, first.time, last.time, sum(len(line) + 1 for line in lines))

    def version_at(self, stream: str, time: str, *, end: int) -> int:
        """Return the version of the stream's last event with a time not after ``time``; 0 if there is none."""
        return bisect_right(self._counted(stream, end), time, key=lambda line: _front(line).time)

    def _counted(self, stream: str, end: int) -> list[bytes]:
        lines = self._lines.get(check_name(stream), [])
        return lines[: bisect_right(lines, end, key=lambda line: _front(line).position)]

    def read_stream(
        self, stream: str, *, end: int, after: int = 0, to: int | None = None, bookmark: Bookmark | None = None
    ) -> Iterator[Chunk]:
        """Yield the stream's lines as one chunk; see the contract."""
        lines = self._counted(stream, end)
        if bookmark is not None:
            after = bookmark.version
            if after > len(lines) or seal_in(lines[after - 1]) != bookmark.token:
                raise BookmarkLost
        kept = lines[after:to]
        if kept:
            last, seal = _front(kept[-1]), seal_in(kept[-1])
            text = b"".join(line + b"\n" for line in kept)
            yield Chunk(text, last.version, Bookmark(last.version, last.time, seal) if seal else None)

    def read_all(
        self, *, end: int, after: int = 0, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[list[bytes]]:
        """Yield lines in global order, by commit; see the contract."""
        start = bisect_right(self._commits, after, key=lambda lines: _front(lines[-1]).position)
        for commit in self._commits[start : self._head.token]:
            fronts = [(line, _front(line)) for line in commit]
            if fronts[0][1].position > end:
                return
            lines = [line for line, at in fronts if at.position > after and (wanted is None or wanted(at.stream))]
            if lines:
                yield lines

    def verify(self, *, against: tuple[int, str] | None = None) -> Report:  # noqa: ARG002 (memory is as it is)
        """Say what there is: memory is taken at its word."""
        size = sum(len(line) + 1 for lines in self._lines.values() for line in lines)
        return Report(len(self._lines), self._head.position, len(self._commits), size, self._head, in_progress=False)

    def repair(self, *, salvage: bool, dry_run: bool, lock_wait: float) -> list[RepairStep]:  # noqa: ARG002 (as verify)
        """Do nothing: memory is taken at its word."""
        return []


def _front(line: bytes) -> Front:
    front = read_front(line)
    assert front is not None
    return front
