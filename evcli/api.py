"""The public Python door: `Store`. The commands go through it too; what only some methods need is imported in them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evcli.domain.expected import ANY, Expected
from evcli.domain.names import check_writable
from evcli.domain.tries import ATTEMPTS, TIMEOUT
from evcli.errors import StoreNotFound
from evcli.light_typing import TYPE_CHECKING, Any
from evcli.reading import StoreReader

if TYPE_CHECKING:
    from datetime import datetime

    from evcli.asking import AskedView
    from evcli.domain.commands import Request
    from evcli.domain.conditions import Condition
    from evcli.domain.events import Event, Write
    from evcli.domain.reducers import ReducerDefinition
    from evcli.given import Given
    from evcli.read_side.folding import Progress
    from evcli.read_side.keeping import KeptView
    from evcli.replay import StreamState
    from evcli.storage.contract import Plan, Receipt, RepairStep
    from evcli.storage.subscription_files import SubscriptionFiles
    from evcli.time_travel.view_timeline import ViewTimeline
    from evcli.write_side.accepted import Accepted
    from evcli.write_side.executing import Deciding
    from evcli.write_side.queue import Status
    from evcli.write_side.working import CommandWorker, Report


class Store(StoreReader):
    """A store of events: append, read, replay and query.

    >>> from evcli import Store
    >>> store = Store.open("/tmp/bank")                                           # doctest: +SKIP
    >>> store.append("accounts/ann", [("money.deposited", {"amount": 10})])       # doctest: +SKIP
    >>> store.state("accounts/ann", until="yesterday")                            # doctest: +SKIP

    See `StoreReader` for what it is made of.
    """

    # writing

    def create(self, *, lock_wait: float = 10.0) -> str:
        """Make the store if it is not there yet, durably, and return its id."""
        self.log.create(lock_wait=lock_wait)
        return self.log.id

    def append(
        self,
        stream: str,
        events: "Iterable[Given]",
        *,
        expect: Expected = ANY,
        id: str | None = None,  # noqa: A002 (the field's word)
        unless: "Sequence[Condition]" = (),
        lock_wait: float = 10.0,
    ) -> "Receipt":
        """Store events in one stream as one commit, durably, and return the receipt.

        Args:
            stream: The stream's name.
            events: At least one event.
            expect: The version the stream must be at: a number, ``"none"``, ``"exists"`` or ``"any"``.
            id: Makes a repeat safe: events stored before under it are not stored again. The second event gets
                ``id#2``, and so on.
            unless: What must not be there: see `evcli.require_none`.
            lock_wait: Seconds to wait for other writers.

        Raises:
            WrongExpectedVersion: If the stream is at another version.
            ConditionNotMet: If an event is there that must not be.
            Refused: If an event cannot be stored.
            StorageFailed: If the operating system fails; DurabilityUnknown if it cannot be said what was stored.
        """
        from evcli.domain.events import with_id
        from evcli.given import to_writes

        [write] = to_writes({stream: events}, {stream: expect})
        if id is not None:
            write = with_id(write, id)
        return self.commit([write], lock_wait=lock_wait, unless=unless)

    def append_many(
        self,
        events: "Mapping[str, Iterable[Given]]",
        *,
        expect: Mapping[str, Expected] | None = None,
        unless: "Sequence[Condition]" = (),
        lock_wait: float = 10.0,
    ) -> "Receipt":
        """Store events in several streams as one commit: all of it, or nothing. See `append`."""
        from evcli.given import to_writes

        return self.commit(to_writes(events, expect or {}), lock_wait=lock_wait, unless=unless)

    def commit(
        self, writes: "Sequence[Write]", *, lock_wait: float = 10.0, unless: "Sequence[Condition]" = ()
    ) -> "Receipt":
        """Store writes whose events were checked when they were made (`evcli.storage.codec`). See `append_many`."""
        return self.log.append(writes, lock_wait=lock_wait, unless=unless)

    def plan(
        self,
        events: "Mapping[str, Iterable[Given]]",
        *,
        expect: Mapping[str, Expected] | None = None,
        after: "Plan | None" = None,
    ) -> "Plan":
        """Work out what `append_many` would store, on top of the plan ``after``, and store nothing."""
        from evcli.given import to_writes

        return self.log.plan(to_writes(events, expect or {}), after)

    def states_after(
        self,
        plan: "Plan",
        before: "Mapping[str, StreamState]",
        definitions: "Mapping[str, ReducerDefinition] | None" = None,
    ) -> "dict[str, StreamState]":
        """Return the states of the streams that a plan would write to, as they would be after it.

        Args:
            plan: The plan.
            before: States that an earlier plan has led to; other streams' are queried.
            definitions: What states are made by, where it is not what is configured.
        """
        from evcli.replay import StreamState
        from evcli.storage.codec import loader

        load = loader()
        states: dict[str, StreamState] = {}
        for stream, lines in plan.lines.items():
            definition = (definitions or {}).get(stream) or self.definition(stream)
            _, version, state = before.get(stream) or self._state_by(stream, definition)
            folded = definition.load().fold(state, map(load, lines))
            states[stream] = StreamState(stream, version + len(lines), folded)
        return states

    def _state_by(self, stream: str, definition: "ReducerDefinition") -> "StreamState":
        """Return a stream's newest state; the initial one where there is no such stream."""
        from evcli.read_side.states import query_state
        from evcli.replay import StreamState

        try:
            end = self.head().position
        except StoreNotFound:
            return StreamState(stream, 0, definition.load().initial())
        return query_state(self.log, stream, definition, self._cache, end=end)

    # commands

    def do(
        self,
        stream: str,
        command: str,
        data: Any = None,  # noqa: ANN401 (a JSON value)
        *,
        id: str | None = None,  # noqa: A002 (the field's word)
        decider: str | None = None,
        expect: Expected = ANY,
        meta: Mapping[str, Any] | None = None,
        attempts: int = ATTEMPTS,
        timeout: float | None = TIMEOUT,
        lock_wait: float = 10.0,
    ) -> "Accepted":
        """Let a stream's decider decide on a command, store what follows, and return it.

        Args:
            stream: The stream's name.
            command: What is wanted, as in ``"withdraw"``.
            data: Its arguments; ``{}`` if there are none.
            id: Makes a repeat safe: it gives what the first gave.
            decider: ``FILE.py`` or ``exec:PROGRAM``, instead of the one that is configured.
            expect: The version the stream must be at, whatever the decider says of it.
            meta: What goes into the events' ``meta``.
            attempts: How often to decide, where the stream moves on in between.
            timeout: Seconds that the decider may take; None for any.
            lock_wait: Seconds to wait for other writers.

        Raises:
            Rejected: If the decider refuses.
            Conflict: If the stream moved on each time, or a condition of the decider's is not met.
            CodeFailed: If the decider fails.
            NotFound: If nothing decides on commands to the stream.
            Usage: If the arguments are not those of the command.
        """
        from evcli.write_side.executing import execute

        request = _request(stream, command, data, id=id, meta=meta, expect=expect)
        deciding = self.deciding(stream, decider, timeout=timeout)
        return execute(self.log, request, deciding, attempts=attempts, lock_wait=lock_wait)

    def submit(
        self,
        stream: str,
        command: str,
        data: Any = None,  # noqa: ANN401 (a JSON value)
        *,
        id: str | None = None,  # noqa: A002 (the field's word)
        meta: Mapping[str, Any] | None = None,
        lock_wait: float = 10.0,
    ) -> str:
        """Store a command in the queue, durably, for ``evcli work`` to handle, and return its id. See `do`."""
        from evcli.given import new_id
        from evcli.write_side import queue

        key = new_id() if id is None else id
        queue.submit(self.log, _request(stream, command, data, id=key, meta=meta), lock_wait=lock_wait)
        return key

    def command(self, id: str, *, wait: float = 0.0) -> "Status":  # noqa: A002 (the field's word)
        """Say how a submitted command stands, at most after ``wait`` seconds in which it is pending.

        Raises:
            NotFound: If there is none of that id.
        """
        from evcli.write_side import queue

        return queue.wait_for(self.log, id, timeout=wait)

    def queue(self) -> dict[str, Any]:
        """Return the submitted commands that are not settled: ``pending`` and ``parked``, each by id."""
        from evcli.domain.queue import QUEUE
        from evcli.write_side.queue import QueueDefinition

        return dict(self._state_by(QUEUE, QueueDefinition()).state)

    def deciding(self, stream: str, decider: str | None = None, *, timeout: float | None = TIMEOUT) -> "Deciding":
        """Return what decides on the commands to a stream: ``decider``, else as configured."""
        from evcli.deciding import deciding_by

        if decider is None:
            if not self.config.path and not self.exists:
                self.log.id  # noqa: B018 (raises: there is no store that an evcli.toml could belong to)
            definition = self.config.decider_for(check_writable(stream))
        else:
            from evcli.project.config import parse_decider

            definition = parse_decider(decider, os.getcwd())
        return deciding_by(self.config, definition, self._state_by, stream, timeout=timeout)

    def undo(self, stream: str, version: int, *, timeout: float | None = TIMEOUT) -> list[dict[str, Any]]:
        """Return the events that would compensate one, as lines for ``append --from``; nothing is stored.

        They say what stream they are for, and expect the version that it is at; the same event is not compensated twice.

        Raises:
            NotFound: If there is no such event, or nothing says how it is undone.
            Rejected: If the decider refuses.
            CodeFailed: If what undoes it fails.
        """
        from evcli.replay import StreamState
        from evcli.write_side.undoing import compensate, nothing_undoes

        event = self.event(check_writable(stream), version)
        decider = self.config.decider_if_any(stream)
        states = decider.state_by(self.config.definition_for(stream)) if decider else None
        line = self.timeline(stream, definition=states)
        now = StreamState(stream, line.version, line.state_at(line.version))
        load = decider.load if decider else None
        rules = self.config.undo_for(stream)
        found = compensate(event, line.state_at(version - 1), now, rules=rules, load_decider=load, timeout=timeout)
        if found is None:
            raise nothing_undoes(event)
        return found

    def command_worker(
        self, report: "Report", *, jobs: int = 1, timeout: float | None = TIMEOUT, lock_wait: float = 10.0
    ) -> "CommandWorker":
        """Return what handles the submitted commands, ``jobs`` streams at a time; ``report`` is told of each."""
        from evcli.deciding import Deciders
        from evcli.domain.queue import QUEUE
        from evcli.storage.attempts import Attempts
        from evcli.write_side.queue import QueueDefinition
        from evcli.write_side.working import CommandWorker, Handling

        deciders = Deciders(
            lambda: self._load_config() if self._load_config else self.config,
            self._state_by,
            cache=self._cache,
            timeout=timeout,
        )
        attempts = Attempts(os.path.join(self._state, self.log.id, "commands") if self._state else None)
        handling = Handling(deciders.deciding, attempts, report, deciders.refresh, jobs=jobs, lock_wait=lock_wait)
        return CommandWorker(self.log, lambda: self._state_by(QUEUE, QueueDefinition()), handling)

    # views

    def view(self, name: str) -> "AskedView":
        """Return a view of ``evcli.toml`` to ask: ``store.view("stock").get("A1")``.

        Raises:
            NotFound: If there is no such view.
        """
        from evcli.asking import AskedView
        from evcli.read_side.views import View

        return AskedView(View(self.kept_view(name)))

    def kept_view(self, name: str, *, cached: bool = True, progress: "Progress | None" = None) -> "KeptView":
        """Return a view with its files, or without any (not ``cached``); ``progress`` is told how a fold goes on.

        Raises:
            NotFound: If there is no such view.
        """
        from evcli.read_side.keeping import keep

        cache = self._cache if cached else None
        if cached:
            self.config.note()
        return keep(self.log, self.config.view(name), cache=cache, state=self._state, progress=progress)

    def kept_views(self, *, progress: "Progress | None" = None) -> "list[KeptView]":
        """Return all views, as ``evcli.toml`` has them now."""
        from evcli.read_side.keeping import keep

        config = self._load_config() if self._load_config else self.config
        return [keep(self.log, view, cache=self._cache, state=self._state, progress=progress) for view in config.views]

    def view_timeline(
        self,
        name: str,
        *,
        until: "str | datetime | None" = None,
        to_position: int | None = None,
        progress: "Progress | None" = None,
    ) -> "ViewTimeline":
        """Return a view's rows event by event, folded in memory; see `ViewTimeline`.

        Raises:
            NotFound: If there is no such view.
        """
        from evcli.given import to_instant
        from evcli.time_travel.view_timeline import ViewTimeline

        kept, head = self.kept_view(name, cached=False), self.head().position
        return ViewTimeline(
            self.log,
            kept.definition,
            end=head if to_position is None else min(head, to_position),
            until=to_instant(until),
            skipped=kept.skipped.read(kept.fingerprint),
            progress=progress,
        )

    # subscriptions

    def subscribe(
        self, name: str, *patterns: str, types: Sequence[str] = (), start: str | None = None, follow: bool = True
    ) -> "Iterator[Event]":
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

    def repair(self, *, salvage: bool = False, dry_run: bool = False, lock_wait: float = 10.0) -> "list[RepairStep]":
        """Make a damaged store whole out of what is sound in it, and return what was done; see `EventStore.repair`."""
        return self.log.repair(salvage=salvage, dry_run=dry_run, lock_wait=lock_wait)


def _request(
    stream: str,
    command: str,
    data: Any,  # noqa: ANN401 (a JSON value)
    *,
    id: str | None,  # noqa: A002 (the field's word)
    meta: Mapping[str, Any] | None,
    expect: Expected = ANY,
) -> "Request":
    from evcli.given import to_command, to_request
    from evcli.storage.codec import encode_value

    texts = {name: encode_value(value) for name, value in (meta or {}).items()}
    made = to_command(stream, command, encode_value({} if data is None else data))
    return to_request(made, meta=texts, id=id, expect=expect)
