"""A store as it is read: events, states as of any moment, integrity. `evcli.api.Store` adds all that writes."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from evcli import places
from evcli.domain.names import check_name, is_name, select_by
from evcli.errors import Busy, NotFound, StoreNotFound, StreamNotFound
from evcli.light_typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime

    from evcli.domain.events import Event
    from evcli.domain.patches import Operation
    from evcli.domain.reducers import ReducerDefinition
    from evcli.domain.traces import Traced
    from evcli.project.config import Config
    from evcli.replay import StreamState
    from evcli.storage.contract import EventStore, Head, Report, StreamInfo
    from evcli.storage.snapshots import Snapshot
    from evcli.time_travel.bisecting import Flip
    from evcli.time_travel.blaming import Cause
    from evcli.time_travel.stepping import Stepper
    from evcli.time_travel.timeline import Timeline


class StoreReader:
    """A store of events, to read, replay and query.

    Args:
        log: The store itself, any back end.
        cache: The root of the caches; None to do without.
        state: The root of what must outlive a cache; None to do without.
        load_config: Reads what maps streams to reducers, when that is first asked for; None for the default reducer.
    """

    def __init__(
        self,
        log: "EventStore",
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

            return load_config(places.find_config(config, env, root), state_root=state, cache=cache)

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

    def head(self) -> "Head":
        """Return the end of the store: position, hash and time of its last commit.

        Raises:
            StoreNotFound: If there is no store.
        """
        return self.log.head()

    def read(self, stream: str, *, after: int = 0, until: "str | datetime | None" = None) -> "Iterator[Event]":
        """Yield a stream's events with versions above ``after`` and times up to and including ``until``, verified.

        ``until`` is an aware datetime or a text such as ``"yesterday"`` (``evcli help time``).
        """
        from evcli.replay import read_events

        end = self.head().position
        return read_events(self.log, stream, end=end, after=after, to=self._version(stream, until, None, end))

    def read_all(self, *, after_position: int = 0) -> "Iterator[Event]":
        """Yield all events with positions above ``after_position`` in global order, verified."""
        from evcli.storage.codec import loader

        load = loader()
        for lines in self.log.read_all(end=self.head().position, after=after_position):
            yield from map(load, lines)

    def event(self, stream: str, version: int) -> "Event":
        """Return one event.

        Raises:
            NotFound: If there is no such event.
        """
        from evcli.replay import read_events

        if version > 0:
            for event in read_events(self.log, stream, end=self.head().position, after=version - 1, to=version):
                return event
        known = self.version(stream)
        raise NotFound(
            f"there is no event {stream}@{version}",
            f"{stream} is at version {known}" if known else "see what there is: evcli streams",
            stream=stream,
            version=version,
        )

    def trace(self, what: str) -> "list[Traced]":
        """Return what led to an event and all that came of it: the tree in which ``STREAM@VERSION`` stands.

        Any other ``what`` is a correlation or an event's id, and gives the trees that its events form.

        Raises:
            NotFound: If there is nothing of it.
        """
        from evcli.domain.events import parse_place
        from evcli.tracing import trace

        found = trace(self.log, what, end=self.head().position)
        if not found and (place := parse_place(what)):
            self.event(*place)  # raises: it is not there
        if not found:
            hint = "see what there is: evcli log"
            if is_name(what) and (version := self.version(what)):
                hint = f"for an event of that stream: evcli trace {what}@{version}"
            raise NotFound(f"no event has the correlation or the id {what!r}", hint, id=what)
        return found

    def streams(self, *patterns: str) -> "list[StreamInfo]":
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
        until: "str | datetime | None" = None,
        to: int | None = None,
    ) -> Any:  # noqa: ANN401 (a reducer's state)
        """Return a stream's state as of ``until`` or version ``to``, from snapshots and what came since."""
        return self.query(stream, reducer=reducer, until=until, to=to).state

    def query(
        self,
        stream: str,
        *,
        reducer: str | None = None,
        until: "str | datetime | None" = None,
        to: int | None = None,
        cached: bool = False,
    ) -> "StreamState":
        """Return what `state` does, with the version; ``cached`` answers from the newest snapshot alone.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
            NotFound: If ``cached`` and nothing is.
        """
        from evcli.read_side.states import cached_state, query_state

        definition = self.definition(stream, reducer)
        if reducer is None:
            self.config.note()
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
        until: "str | datetime | None" = None,
        to: int | None = None,
    ) -> "StreamState":
        """Fold a stream from the log itself, without any snapshot."""
        from evcli.replay import replay_stream

        end = self.head().position
        to = self._version(stream, until, to, end)
        return replay_stream(self.log, stream, self.definition(stream, reducer).load(), end=end, to=to)

    def replay_all(
        self, patterns: Sequence[str] = (), *, reducer: str | None = None, until: "str | datetime | None" = None
    ) -> "Iterator[StreamState]":
        """Yield the states of all streams that ``patterns`` select (none: every one) as of one moment.

        Streams that had no event by then are left out.
        """
        from evcli.given import to_instant
        from evcli.time_travel.replaying import opened, replay_each

        end, streams = self.head().position, filter(select_by(patterns), self.log.streams())
        yield from replay_each(opened(self.log, self.definition, reducer), streams, end=end, until=to_instant(until))

    def snapshots(self, stream: str, *, reducer: str | None = None) -> "Iterator[Snapshot]":
        """Yield the cached states of a stream that a query may answer from, the latest first."""
        from evcli.read_side.states import sound_snapshots

        definition = self.definition(stream, reducer)
        return sound_snapshots(self.log, stream, definition, self._cache, end=self.head().position)

    # time travel

    def timeline(
        self,
        stream: str,
        *,
        reducer: str | None = None,
        definition: "ReducerDefinition | None" = None,
        progress: "Callable[[int, int], None] | None" = None,
    ) -> "Timeline":
        """Return a stream's states at any version; asking for them saves nothing.

        ``definition`` takes the place of ``reducer``; ``progress`` is told how it goes on.

        Raises:
            StreamNotFound: If there is no such stream.
        """
        from evcli.time_travel.timeline import Timeline

        definition, end = definition or self.definition(check_name(stream), reducer), self.head().position
        found = Timeline(self.log, stream, definition, cache=self._cache, end=end, progress=progress)
        if not found.version:
            raise StreamNotFound(stream)
        return found

    def diff(
        self,
        stream: str,
        *,
        since: "str | datetime | None" = None,
        after: int = 0,
        until: "str | datetime | None" = None,
        to: int | None = None,
        reducer: str | None = None,
    ) -> "list[Operation]":
        """Return what a stream's events from ``since`` on, or after version ``after``, have changed: a JSON Patch (RFC 6902).

        Raises:
            StreamNotFound: If there is no such stream.
        """
        from evcli.domain.patches import to_operation
        from evcli.given import to_instant
        from evcli.time_travel.differing import Side, changes_between_states

        line = self.timeline(stream, reducer=reducer)
        start = to_instant(since, end=False)
        first = max(after, line.version_before(start)) if start else after
        last = line.last_version(until=to_instant(until), to=to)
        return [to_operation(change) for change in changes_between_states(Side(line, first), Side(line, last))]

    def why(
        self,
        stream: str,
        pointer: str = "",
        *,
        until: "str | datetime | None" = None,
        to: int | None = None,
        reducer: str | None = None,
    ) -> "Cause | None":
        """Return the event that last changed what a JSON pointer (RFC 6901) finds; None if nothing has ever been there.

        Raises:
            StreamNotFound: If there is no such stream.
        """
        from evcli.domain.pointers import parse_pointer
        from evcli.given import to_instant
        from evcli.time_travel.blaming import last_cause

        line = self.timeline(stream, reducer=reducer)
        return last_cause(line, parse_pointer(pointer), line.last_version(until=to_instant(until), to=to))

    def bisect(
        self,
        stream: str,
        passes: "Callable[[Any], bool]",
        *,
        good: int = 0,
        bad: int | None = None,
        reducer: str | None = None,
    ) -> "Flip | None":
        """Return the first event after version ``good`` whose state ``passes`` is not true of; None if there is none.

        Raises:
            StreamNotFound: If there is no such stream.
            Usage: If it is not true of the state at ``good``.
        """
        from evcli.time_travel.bisecting import Tally, scan
        from evcli.time_travel.checking import FunctionCheck

        line = self.timeline(stream, reducer=reducer)
        return next(scan(line, FunctionCheck(passes), good=good, bad=line.last_version(to=bad), tally=Tally()), None)

    def stepper(self, stream: str, *, reducer: str | None = None) -> "Stepper":
        """Return what goes through a stream's states step by step, forwards and backwards; it writes nothing."""
        from evcli.time_travel.stepping import Stepper

        definition = self.definition(check_name(stream), reducer)
        return Stepper(self.log, stream, definition, cache=self._cache, end=self.head().position)

    def definition(self, stream: str, reducer: str | None = None) -> "ReducerDefinition":
        """Return what a stream's state is made by: ``reducer`` (``NAME``, ``FILE.py``, ``exec:PROGRAM``), else as configured."""
        if reducer is None:
            return self.config.definition_for(check_name(stream))
        from evcli.project.config import parse_reducer

        return parse_reducer(reducer, os.getcwd(), from_command_line=True)

    def verify(self, *, against: str | None = None) -> "Report":
        """Check every seal and hash, that nothing has a gap, and that journal and streams agree.

        Args:
            against: A checkpoint (``position:hash``) kept elsewhere: finds a history that was cut or replaced whole.

        Raises:
            Damaged: For the first finding; ``facts["findings"]`` has all of them.
            Usage: If ``against`` is no checkpoint.
        """
        from evcli.given import parse_checkpoint

        return self.log.verify(against=parse_checkpoint(against) if against is not None else None)

    def _version(self, stream: str, until: "str | datetime | None", to: int | None, end: int) -> int | None:
        if until is None:
            return to
        from evcli.given import to_instant

        moment = to_instant(until)
        assert moment is not None
        version = self.log.version_at(stream, moment, end=end)
        return version if to is None else min(to, version)
