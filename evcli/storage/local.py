"""The local store: a directory of files, one writer at a time, readers without a lock."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

from evcli.domain.events import Write
from evcli.domain.names import check_name
from evcli.errors import Damaged
from evcli.light_typing import TYPE_CHECKING, NamedTuple
from evcli.storage import journal
from evcli.storage.clock import now
from evcli.storage.commit import EMPTY, NO_TIP, Commit, Tip, check_writes
from evcli.storage.contract import Bookmark, BookmarkLost, Chunk, Head, Plan, Receipt, RepairStep, Report, StreamInfo
from evcli.storage.files import SyncFailed, opened, writer_is_alive, writer_lock
from evcli.storage.layout import (
    JOURNAL_FILE,
    STORE_FILE,
    check_case,
    find_streams,
    make_store,
    read_identity,
    require_identity,
    stream_path,
)
from evcli.storage.lines import Mark
from evcli.storage.settle import read_lock_mark, settle_last_commit
from evcli.storage.stream_file import StreamFile, opened_stream

if TYPE_CHECKING:
    from evcli.domain.conditions import Condition
    from evcli.storage.looking import Looks
    from evcli.storage.repeats import Remaining


class _Own(NamedTuple):
    """What this process itself made sure of last: nobody has written since if the mark still says so."""

    mark: Mark
    head: Head
    tips: Mapping[str, Tip]


class _Planned(NamedTuple):
    """What plans have come to: the store's end and its streams' tips, the ``stored`` tips below, and the lines with ids."""

    head: Head
    tips: Mapping[str, Tip]
    stored: Mapping[str, Tip]
    ids: Mapping[str, Mapping[str, bytes]]


class LocalStore:
    """A store in a directory (format 1); satisfies `evcli.storage.contract.EventStore`.

    Args:
        root: The directory; it need not exist before the first append.
        cache: The root of the caches, in which the store keeps its indexes under its id; None to do without.
        allow_network_fs: Whether to write where several hosts' locks may not hold.
    """

    def __init__(self, root: str, *, cache: str | None = None, allow_network_fs: bool = False) -> None:
        self.root = root
        self._cache = cache
        self._anywhere = allow_network_fs
        self._own: _Own | None = None

    @cached_property
    def id(self) -> str:
        """The store's UUID.

        Raises:
            StoreNotFound: If there is no store yet.
        """
        return require_identity(self.root)

    @cached_property
    def _looks(self) -> "Looks":
        from evcli.storage.looking import Looks

        return Looks(self.root)

    @property
    def location(self) -> str:
        """The directory."""
        return self.root

    # writing

    def append(
        self,
        writes: Sequence[Write],
        *,
        lock_wait: float = 10.0,
        unless: "Sequence[Condition]" = (),
        once: bool = False,
    ) -> Receipt:
        """Store all ``writes`` as one commit; see the contract."""
        check_writes(writes)
        with self._telling():
            if self._own is None and read_identity(self.root) is None:
                # So that what is refused does not leave an empty store behind.
                self._plan(writes, self._unplanned(), unless)
        with self._locked(lock_wait) as lock_fd:
            return self._append(lock_fd, writes, unless, once=once)

    def create(self, *, lock_wait: float = 10.0) -> None:
        """Make the store if it is not there yet; see the contract."""
        with self._locked(lock_wait):
            if journal.size_of(self.root):
                require_identity(self.root)
            make_store(self.root, now=now())

    @contextmanager
    def _locked(self, wait: float) -> Iterator[int]:
        if not self._anywhere:
            from evcli.storage.network import require_local

            require_local(self.root)
            self._anywhere = True
        with self._telling():
            os.makedirs(self.root, exist_ok=True)
            with writer_lock(self.root, wait=wait) as lock_fd:
                yield lock_fd

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say what the operating system's failures mean to a writer: nothing was stored."""
        try:
            yield
        except (SyncFailed, OSError) as failed:
            from evcli.storage.writing import storage_failed

            raise storage_failed(failed.error if isinstance(failed, SyncFailed) else failed) from failed

    def _append(self, lock_fd: int, writes: Sequence[Write], unless: "Sequence[Condition]", *, once: bool) -> Receipt:
        from evcli.storage.repeats import leave_out_repeats
        from evcli.storage.writing import write_commit

        time = now()
        own = self._own
        self._own = None
        if own is None or read_lock_mark(lock_fd) != own.mark or self.has_more(own.head):
            identity = read_identity(self.root)
            head = settle_last_commit(self.root, lock_fd, now=time)
            if identity is None and head.position:
                raise Damaged(STORE_FILE, 0, "it is missing")
            own = _Own(Mark(head.position, head.hash), head, {})
        tips = {write.stream: self._tip(write.stream, own.head, known=own.tips.get(write.stream)) for write in writes}
        remaining = leave_out_repeats(
            writes, lambda stream, keys: self._find_ids(stream, tips[stream], keys), once=once
        )
        commit, receipt = self._build(own.head, tips, remaining, unless, now=time)
        if commit is None:
            return receipt
        if own.head.position == 0:
            make_store(self.root, now=time)
        write_commit(self.root, lock_fd, own.head, commit)
        mark = Mark(commit.head.position, commit.head.hash)
        self._own = _Own(mark, commit.head, {part.write.stream: part.tip for part in commit.parts})
        return receipt

    def _tip(self, stream: str, head: Head, *, flags: int = os.O_RDWR, known: Tip | None = None) -> Tip:
        """Look at a stream's end before building upon it; a ``known`` one is only looked at from outside."""
        with opened(self.root, stream_path(stream), flags) as fd:
            if fd is None and known:
                raise Damaged(stream_path(stream), 0, "the file is missing")
            if fd is None:
                check_case(self.root, stream)
                return NO_TIP
            file = StreamFile(fd, stream, stream_path(stream))
            if flags == os.O_RDONLY:
                from evcli.storage.looking import counted_end

                return file.tip(counted_end(self._looks, file, head.position))
            size = os.fstat(fd).st_size
            if known and size == known.offset:
                return known
            tip = file.tip(size)
            if size and file.front_before(size).position > head.position:
                raise Damaged(
                    stream_path(stream), 0, f"it holds events beyond position {head.position}, where the journal ends"
                )
            return tip

    def _find_ids(self, stream: str, tip: Tip, keys: Collection[str]) -> Mapping[str, bytes]:
        from evcli.storage.ids import find_ids

        if tip == NO_TIP:
            return {}
        cache = os.path.join(self._cache, self.id, "ids") if self._cache else None
        with opened(self.root, stream_path(stream)) as fd:
            assert fd is not None
            return find_ids(StreamFile(fd, stream, stream_path(stream)), tip, keys, cache)

    def find_id(self, stream: str, key: str) -> bytes | None:
        """Return the stored line of the stream's event with the id ``key``; None if it has none."""
        self.id  # noqa: B018 (a store must be there)
        if not os.path.lexists(os.path.join(self.root, stream_path(check_name(stream)))):
            return None
        tip = self._tip(stream, self.head(), flags=os.O_RDONLY)
        return self._find_ids(stream, tip, [key]).get(key)

    def plan(self, writes: Sequence[Write], after: Plan | None = None, *, unless: "Sequence[Condition]" = ()) -> Plan:
        """Work out what `append` would store; see the contract."""
        from evcli.storage.repeats import ids_in

        before = after.state if after and isinstance(after.state, _Planned) else self._unplanned()
        before, commit, receipt = self._plan(writes, before, unless)
        if commit is None:
            return Plan({}, receipt, before)
        tips = {**before.tips, **{part.write.stream: part.tip for part in commit.parts}}
        lines = {part.write.stream: part.lines() for part in commit.parts}
        ids = {stream: {**before.ids.get(stream, {}), **ids_in(lines[stream])} for stream in lines}
        return Plan(lines, receipt, _Planned(commit.head, tips, before.stored, {**before.ids, **ids}))

    def _unplanned(self) -> _Planned:
        return _Planned(self._head_if_any(), {}, {}, {})

    def _plan(
        self, writes: Sequence[Write], before: _Planned, unless: "Sequence[Condition]"
    ) -> tuple[_Planned, Commit | None, Receipt]:
        """Build the commit that would be stored; return it with what was looked up for it added to ``before``."""
        from evcli.storage.repeats import leave_out_repeats

        check_writes(writes)
        new = [write.stream for write in writes if write.stream not in before.tips]
        found = {stream: self._tip(stream, before.head, flags=os.O_RDONLY) for stream in new}
        looked = before._replace(tips={**before.tips, **found}, stored={**before.stored, **found})
        remaining = leave_out_repeats(
            writes,
            lambda stream, keys: {**self._find_ids(stream, looked.stored[stream], keys), **before.ids.get(stream, {})},
        )
        return looked, *self._build(before.head, looked.tips, remaining, unless, now=now())

    def _build(
        self, head: Head, tips: Mapping[str, Tip], remaining: "Remaining", unless: "Sequence[Condition]", *, now: str
    ) -> tuple[Commit | None, Receipt]:
        remaining.check_expected(tips)
        if remaining.writes and unless:
            from evcli.storage.conditions import require_none

            require_none(self, unless, end=self._head_if_any().position)
        return remaining.build(head, tips, now=now)

    def _head_if_any(self) -> Head:
        return self._looks.look().head if os.path.isdir(self.root) else EMPTY

    # reading

    def head(self) -> Head:
        """Return the end of the store as of now."""
        self.id  # noqa: B018 (a store must be there)
        return self._looks.look().head

    def settled_head(self) -> Head:
        """Return the end up to which no crash takes a commit away any more; see the contract (DESIGN 4)."""
        self.id  # noqa: B018 (a store must be there)
        look = self._looks.look()
        if look.doubtless == look.head:
            return look.head
        is_free = not writer_is_alive(self.root)
        again = self._looks.look()  # a writer may have cut that commit, and gone
        return again.head if is_free and again.head == look.head else again.doubtless

    def holds(self, position: int, digest: str) -> bool:
        """Say whether a commit ends at ``position`` with the hash ``digest``; see the contract."""
        if position == 0:
            return digest == EMPTY.hash
        head = self.head()
        if head.position == position:
            return head.hash == digest
        with opened(self.root, JOURNAL_FILE) as fd:
            if fd is None or head.position < position:
                return False
            entry = next(journal.entries_after(fd, position - 1, head.token), None)
            return entry is not None and (entry.last_position, entry.hash) == (position, digest)

    def has_more(self, head: Head) -> bool:
        """Say, at the cost of one stat, whether there may be commits after ``head``."""
        return journal.size_of(self.root) != head.token

    def streams(self, *, below: str = "") -> Iterator[str]:
        """Yield the names of all streams in the order of their names; see the contract."""
        return find_streams(self.root, below)

    def info(self, stream: str, *, end: int) -> StreamInfo | None:
        """Describe a stream; None if it has no event up to position ``end``."""
        with self._counted(stream, end) as (file, limit):
            if file is None:
                return None
            file.check_around(0, limit)
            file.check_around(limit, limit)
            last, first = file.front_before(limit), file.front_before(0)
            return StreamInfo(stream, last.version, first.time, last.time, limit)

    def version_at(self, stream: str, time: str, *, end: int) -> int:
        """Return the version of the stream's last event with a time not after ``time``; 0 if there is none."""
        with self._counted(stream, end) as (file, limit):
            return file.version_at(time, limit) if file else 0

    def read_stream(
        self, stream: str, *, end: int, after: int = 0, to: int | None = None, bookmark: Bookmark | None = None
    ) -> Iterator[Chunk]:
        """Yield verified chunks of the stream's lines; see the contract."""
        with self._counted(stream, end) as (file, limit):
            if file is None:
                if bookmark is not None:
                    raise BookmarkLost
                return
            yield from file.read(limit, after=after, to=to, bookmark=bookmark)

    @contextmanager
    def _counted(self, stream: str, end: int) -> Iterator[tuple[StreamFile | None, int]]:
        """Open a stream and find the end of what counts up to position ``end``; None if nothing does."""
        from evcli.storage.looking import counted_end

        self.id  # noqa: B018 (a store must be there)
        with opened_stream(self.root, stream) as file:
            limit = counted_end(self._looks, file, end) if file else 0
            yield (file if limit else None), limit

    def read_all(
        self, *, end: int, after: int = 0, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[list[bytes]]:
        """Yield verified lines in global order, by commit; see the contract."""
        head = self.head()
        try:
            yield from self._read_up_to(head, end=end, after=after, wanted=wanted)
        except Damaged:
            if self.holds(head.position, head.hash):
                raise
            # else its writer has taken the last commit back, which was whole and never acknowledged

    def _read_up_to(
        self, head: Head, *, end: int, after: int, wanted: Callable[[str], bool] | None
    ) -> Iterator[list[bytes]]:
        from evcli.storage.regions import RegionReader

        with opened(self.root, JOURNAL_FILE) as fd, RegionReader(self.root) as regions:
            if fd is None:
                return
            for entry in journal.entries_after(fd, after, head.token):
                if entry.position > end:
                    return
                lines: list[bytes] = []
                position = entry.position
                for write in entry.writes:
                    if wanted is None or wanted(write.stream):
                        lines += regions.read(write)[max(0, after + 1 - position) :]
                    position += write.count
                if lines:
                    yield lines

    def verify(self, *, against: tuple[int, str] | None = None) -> Report:
        """Check everything; see the contract."""
        from evcli.storage.examining import examine, require_sound

        self.id  # noqa: B018 (a store must be there)
        return require_sound(examine(self.root, against=Mark(*against) if against else None))

    def repair(self, *, salvage: bool, dry_run: bool, lock_wait: float = 10.0) -> list[RepairStep]:
        """Make a damaged store whole; see the contract."""
        from evcli.storage.repairing import apply_repair, plan_repair

        if not any(os.path.exists(os.path.join(self.root, name)) for name in (STORE_FILE, JOURNAL_FILE)):
            self.id  # noqa: B018 (raises: there is no store)
        with self._locked(lock_wait) as lock_fd:
            self._own = None
            repair = plan_repair(self.root, read_lock_mark(lock_fd))
            lost = sum(step.lost for step in repair.steps)
            if lost and not salvage and not dry_run:
                raise Damaged(
                    repair.steps[0].file,
                    0,
                    f"{lost} events are lost",
                    "restore a backup; or go on without them: evcli repair --salvage --yes",
                )
            if repair.steps and not dry_run:
                apply_repair(self.root, lock_fd, repair, now=now())
                self.__dict__.pop("id", None)  # it may be a new one
            return repair.steps
