"""The public Python door: `Store`. The commands go through it too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evcli.domain.conditions import Condition
from evcli.domain.events import Event, Write, with_id
from evcli.domain.expected import ANY, Expected
from evcli.domain.reducers import Reducer
from evcli.errors import StoreNotFound
from evcli.given import Given, to_writes
from evcli.reading import StoreReader
from evcli.replay import StreamState
from evcli.storage.codec import loader
from evcli.storage.contract import Plan, Receipt, RepairStep

if TYPE_CHECKING:
    from evcli.asking import AskedView
    from evcli.read_side.folding import Progress
    from evcli.read_side.keeping import KeptView
    from evcli.storage.subscription_files import SubscriptionFiles


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
        events: Iterable[Given],
        *,
        expect: Expected = ANY,
        id: str | None = None,  # noqa: A002 (the field's word)
        unless: Sequence[Condition] = (),
        lock_wait: float = 10.0,
    ) -> Receipt:
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
        [write] = to_writes({stream: events}, {stream: expect})
        if id is not None:
            write = with_id(write, id)
        return self.commit([write], lock_wait=lock_wait, unless=unless)

    def append_many(
        self,
        events: Mapping[str, Iterable[Given]],
        *,
        expect: Mapping[str, Expected] | None = None,
        unless: Sequence[Condition] = (),
        lock_wait: float = 10.0,
    ) -> Receipt:
        """Store events in several streams as one commit: all of it, or nothing. See `append`."""
        return self.commit(to_writes(events, expect or {}), lock_wait=lock_wait, unless=unless)

    def commit(self, writes: Sequence[Write], *, lock_wait: float = 10.0, unless: Sequence[Condition] = ()) -> Receipt:
        """Store writes whose events were checked when they were made (`evcli.storage.codec`). See `append_many`."""
        return self.log.append(writes, lock_wait=lock_wait, unless=unless)

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

    def repair(self, *, salvage: bool = False, dry_run: bool = False, lock_wait: float = 10.0) -> list[RepairStep]:
        """Make a damaged store whole out of what is sound in it, and return what was done; see `EventStore.repair`."""
        return self.log.repair(salvage=salvage, dry_run=dry_run, lock_wait=lock_wait)
