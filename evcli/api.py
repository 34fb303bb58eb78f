"""The public Python door: `Store`. The commands go through it too."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from evcli import places
from evcli.domain.events import Event, Write
from evcli.domain.expected import ANY, Expected
from evcli.domain.names import check_name, select_by
from evcli.domain.reducers import Reducer
from evcli.errors import Busy, StoreNotFound
from evcli.given import Given, parse_checkpoint, to_instant, to_writes
from evcli.read_side.states import Definition, cached_state, query_state
from evcli.replay import StreamState, read_events, replay_stream
from evcli.storage.codec import loader
from evcli.storage.contract import EventStore, Head, Plan, Receipt, RepairStep, Report, StreamInfo

if TYPE_CHECKING:
    from evcli.asking import AskedView
    from evcli.project.config import Config
    from evcli.read_side.folding import Progress
    from evcli.read_side.keeping import KeptView
    from evcli.storage.subscription_files import SubscriptionFiles


class Store:
    """A store of events: append, read, replay and query.

    >>> from evcli import Store
    >>> store = Store.open("/tmp/bank")                                           # doctest: +SKIP
    >>> store.append("accounts/ann", [("money.deposited", {"amount": 10})])       # doctest: +SKIP
    >>> store.state("accounts/ann", until="yesterday")                            # doctest: +SKIP

    Args:
        log: The store itself, any back end.
        cache: The root of the caches; None to do without.
        state: The root of what must outlive a cache; None to do without.
        load_config: Reads what maps streams to reducers, when that is first asked for; None for the default reducer.
    """

    def __init__(
        self,
        log: EventStore,
        *,
        cache: str | None = None,
        state: str | None = None,
        load_config: "Callable[[], Config] | None" = None,
    ) -> None:
        self.log = log
        self._cache = cache
        self._state = state
        self._load_config = load_config

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | None = None, *, config: str | None = None, allow_network_fs: bool = False
    ) -> Self:
        """Open the store at ``path``; None for the one that the environment or the working directory names.

        It need not exist: the first append makes it. ``config`` is the path of an ``evcli.toml``, if it is to be
        another than the store's; ``allow_network_fs`` permits writing where locks may not hold.

        Raises:
            BadConfig: If ``config`` names a file that is not there.
        """
        from evcli.storage.local import LocalStore

        env = os.environ
        root = places.find_store(os.fspath(path) if path is not None else None, env, os.getcwd())
        cache, state = places.cache_root(env), places.state_root(env)
        if config is not None:
            places.find_config(config, env, root)  # so that a wrong one is told of at once

        def load() -> "Config":
            from evcli.project.config import load_config

            return load_config(places.find_config(config, env, root), state_root=state)

        log = LocalStore(root, cache=cache, allow_network_fs=allow_network_fs)
        return cls(log, cache=cache, state=state, load_config=load)

    @cached_property
    def config(self) -> "Config":
        """What ``evcli.toml`` says.

        Raises:
            BadConfig: If it is wrong.
        """
        from evcli.project.config import Config

        return self._load_config() if self._load_config else Config()

    @property
    def exists(self) -> bool:
        """Whether there is a store already."""
        try:
            return bool(self.log.id)
        except StoreNotFound:
            return False

    @property
    def location(self) -> str:
        """Where the store is, for a person."""
        return self.log.location

    # writing

    def create(self, *, lock_wait: float = 10.0) -> str:
        """Make the store if it is not there yet, durably, and return its id."""
        self.log.create(lock_wait=lock_wait)
        return self.log.id

    def append(
        self,
        stream: str,
        events: Iterable[Given],
        *,
        expect: Expected = ANY,
        id: str | None = None,  # noqa: A002 (the field's word)
        lock_wait: float = 10.0,
    ) -> Receipt:
        """Store events in one stream as one commit, durably, and return the receipt.

        Args:
            stream: The stream's name.
            events: At least one event.
            expect: The version the stream must be at: a number, ``"none"``, ``"exists"`` or ``"any"``.
            id: Makes a repeat safe: events stored before under it are not stored again. The second event gets
                ``id#2``, and so on.
            lock_wait: Seconds to wait for other writers.

        Raises:
            WrongExpectedVersion: If the stream is at another version.
            Refused: If an event cannot be stored.
            StorageFailed: If the operating system fails; DurabilityUnknown if it cannot be said what was stored.
        """
        [write] = to_writes({stream: events}, {stream: expect})
        if id is not None:
            keyed = [event._replace(id=id if n == 0 else f"{id}#{n + 1}") for n, event in enumerate(write.events)]
            write = write._replace(events=keyed)
        return self.commit([write], lock_wait=lock_wait)

    def append_many(
        self,
        events: Mapping[str, Iterable[Given]],
        *,
        expect: Mapping[str, Expected] | None = None,
        lock_wait: float = 10.0,
    ) -> Receipt:
        """Store events in several streams as one commit: all of it, or nothing. See `append`."""
        return self.commit(to_writes(events, expect or {}), lock_wait=lock_wait)

    def commit(self, writes: Sequence[Write], *, lock_wait: float = 10.0) -> Receipt:
        """Store writes whose events were checked when they were made (`evcli.storage.codec`). See `append_many`."""
        return self.log.append(writes, lock_wait=lock_wait)

    def plan(
        self,
        events: Mapping[str, Iterable[Given]],
        *,
        expect: Mapping[str, Expected] | None = None,
        after: Plan | None = None,
    ) -> Plan:
        """Work out what `append_many` would store, on top of the plan ``after``, and store nothing."""
        return self.log.plan(to_writes(events, expect or {}), after)

    def states_after(self, plan: Plan, before: Mapping[str, StreamState]) -> dict[str, StreamState]:
        """Return the states of the streams that a plan would write to, as they would be after it.

        Args:
            plan: The plan.
            before: States that an earlier plan has led to; other streams' are queried.
        """
        load = loader()
        states: dict[str, StreamState] = {}
        for stream, lines in plan.lines.items():
            reducer = self._reducer(stream, None)
            _, version, state = before.get(stream) or self._state_or_initial(stream, reducer)
            states[stream] = StreamState(stream, version + len(lines), reducer.fold(state, map(load, lines)))
        return states

    def _state_or_initial(self, stream: str, reducer: Reducer) -> StreamState:
        try:
            return self.query(stream)
        except StoreNotFound:
            return StreamState(stream, 0, reducer.initial())

    # reading

    def head(self) -> Head:
        """Return the end of the store: position, hash and time of its last commit.

        Raises:
            StoreNotFound: If there is no store.
        """
        return self.log.head()

    def read(self, stream: str, *, after: int = 0, until: str | datetime | None = None) -> Iterator[Event]:
        """Yield a stream's events with versions above ``after`` and times up to and including ``until``, verified.

        ``until`` is an aware datetime or a text such as ``"yesterday"`` (``evcli help time``).
        """
        end = self.head().position
        return read_events(self.log, stream, end=end, after=after, to=self._version(stream, until, None, end))

    def read_all(self, *, after_position: int = 0) -> Iterator[Event]:
        """Yield all events with positions above ``after_position`` in global order, verified."""
        load = loader()
        for lines in self.log.read_all(end=self.head().position, after=after_position):
            yield from map(load, lines)

    def streams(self, *patterns: str) -> list[StreamInfo]:
        """Return the streams that names and patterns select (none: all but evcli's own), in the order of their names."""
        end = self.head().position
        wanted = select_by(patterns)
        infos = (self.log.info(stream, end=end) for stream in self.log.streams() if wanted(stream))
        return [info for info in infos if info is not None]

    def version(self, stream: str) -> int:
        """Return the version of a stream; 0 if it is not there."""
        info = self.log.info(check_name(stream), end=self.head().position)
        return info.version if info else 0

    def wait_for(self, position: int, *, timeout: float) -> None:
        """Wait until the store has ``position``, at most ``timeout`` seconds.

        Raises:
            Busy: If it did not come in time.
        """
        deadline = time.monotonic() + timeout
        while (found := self.head().position) < position:
            if time.monotonic() >= deadline:
                raise Busy(
                    f"position {position} did not come within {timeout:g} s", f"the store is at {found}; try again"
                )
            time.sleep(0.02)

    def state(
        self,
        stream: str,
        *,
        reducer: str | None = None,
        until: str | datetime | None = None,
        to: int | None = None,
    ) -> Any:  # noqa: ANN401 (a reducer's state)
        """Return a stream's state as of ``until`` or version ``to``, from snapshots and what came since."""
        return self.query(stream, reducer=reducer, until=until, to=to).state

    def query(
        self,
        stream: str,
        *,
        reducer: str | None = None,
        until: str | datetime | None = None,
        to: int | None = None,
        cached: bool = False,
    ) -> StreamState:
        """Return what `state` does, with the version; ``cached`` answers from the newest snapshot alone.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
            NotFound: If ``cached`` and nothing is.
        """
        definition = self.definition(stream, reducer)
        if cached:
            return cached_state(self.log, check_name(stream), definition, self._cache)
        end = self.head().position
        to = self._version(stream, until, to, end)
        return query_state(self.log, stream, definition, self._cache, end=end, to=to)

    def replay(
        self,
        stream: str,
        *,
        reducer: str | None = None,
        until: str | datetime | None = None,
        to: int | None = None,
        end: int | None = None,
    ) -> StreamState:
        """Fold a stream from the log itself, without any snapshot; ``end`` is a head's position that bounds what counts."""
        end = self.head().position if end is None else end
        to = self._version(stream, until, to, end)
        return replay_stream(self.log, stream, self._reducer(stream, reducer), end=end, to=to)

    def replay_all(
        self, patterns: Sequence[str] = (), *, reducer: str | None = None, until: str | datetime | None = None
    ) -> Iterator[StreamState]:
        """Yield the states of all streams that ``patterns`` select (none: every one) as of one moment.

        Streams that had no event by then are left out.
        """
        end = self.head().position
        wanted, until = select_by(patterns), to_instant(until)
        for stream in self.log.streams():
            if wanted(stream):
                found = self.replay(stream, reducer=reducer, until=until, end=end)
                if found.version:
                    yield found

    def definition(self, stream: str, reducer: str | None = None) -> Definition:
        """Return what a stream's state is made by: ``reducer`` (``NAME``, ``FILE.py``, ``exec:PROGRAM``), else as configured."""
        if reducer is None:
            return self.config.definition_for(check_name(stream))
        from evcli.project.config import parse_reducer

        return parse_reducer(reducer, os.getcwd(), from_command_line=True)

    def _reducer(self, stream: str, reducer: str | None) -> Reducer:
        return self.definition(stream, reducer).load()

    # views

    def view(self, name: str) -> "AskedView":
        """Return a view of ``evcli.toml`` to ask: ``store.view("stock").get("A1")``.

        Raises:
            NotFound: If there is no such view.
        """
        from evcli.asking import AskedView
        from evcli.read_side.views import View

        return AskedView(View(self.kept_view(name)))

    def kept_view(self, name: str, *, progress: "Progress | None" = None) -> "KeptView":
        """Return a view with its files; ``progress`` is told how a fold goes on.

        Raises:
            NotFound: If there is no such view.
        """
        from evcli.asking import keep

        return keep(self.log, self.config.view(name), cache=self._cache, state=self._state, progress=progress)

    def kept_views(self, *, progress: "Progress | None" = None) -> "list[KeptView]":
        """Return all views, as ``evcli.toml`` has them now."""
        from evcli.asking import keep

        config = self._load_config() if self._load_config else self.config
        given = {"cache": self._cache, "state": self._state}
        return [keep(self.log, definition, **given, progress=progress) for definition in config.views]

    # subscriptions

    def subscribe(
        self, name: str, *patterns: str, types: Sequence[str] = (), start: str | None = None, follow: bool = True
    ) -> Iterator[Event]:
        """Yield events as they come, from where the subscription ``name`` has got to, each at least once.

        An event counts as handled when the next one is asked for. ``start`` (``"first"`` or ``"now"``) says where a new
        subscription begins; without ``follow`` the iterator ends with what is there.

        Raises:
            Usage: If the subscription is new, and ``start`` is missing.
            Busy: If another process has it.
            Damaged: If the store's history is another than the one that was handled so far.
        """
        from evcli.read_side.subscriptions import handled_one_by_one

        return handled_one_by_one(self.log, self.subscription(name), patterns, types, start, follow=follow)

    def subscription(self, name: str) -> "SubscriptionFiles":
        """Return what is kept of a subscription, which need not be there yet."""
        from evcli.read_side.subscriptions import files_of

        return files_of(self._state, self.log, name)

    def subscriptions(self) -> "list[SubscriptionFiles]":
        """Return what is kept of all subscriptions, by name."""
        from evcli.read_side.subscriptions import all_files

        return all_files(self._state, self.log)

    def verify(self, *, against: str | None = None) -> Report:
        """Check every seal and hash, that nothing has a gap, and that journal and streams agree.

        Args:
            against: A checkpoint (``position:hash``) kept elsewhere: finds a history that was cut or replaced whole.

        Raises:
            Damaged: For the first finding; ``facts["findings"]`` has all of them.
            Usage: If ``against`` is no checkpoint.
        """
        return self.log.verify(against=parse_checkpoint(against) if against is not None else None)

    def repair(self, *, salvage: bool = False, dry_run: bool = False, lock_wait: float = 10.0) -> list[RepairStep]:
        """Make a damaged store whole out of what is sound in it, and return what was done; see `EventStore.repair`."""
        return self.log.repair(salvage=salvage, dry_run=dry_run, lock_wait=lock_wait)

    def _version(self, stream: str, until: str | datetime | None, to: int | None, end: int) -> int | None:
        moment = to_instant(until)
        if moment is None:
            return to
        version = self.log.version_at(stream, moment, end=end)
        return version if to is None else min(to, version)
