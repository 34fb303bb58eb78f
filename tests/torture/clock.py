"""Clocks that jump: times never go back in a stream or in the journal, and ``--until`` answers right whatever they did.

Most histories are made in process with a clock of the rig's own; a few by real processes under faketime(1), which also
have the user's zone, or none.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from evcli.api import Store
from evcli.domain.events import NewEvent, Write
from evcli.domain.instants import canonical
from evcli.errors import Refused
from evcli.storage import local
from evcli.storage.local import LocalStore
from tests.torture.forking import put, side_by_side, without_syncs
from tests.torture.rig import Figures, Rig, Tier

_START: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STEPS: Final = (
    timedelta(0),
    _MICROSECOND,
    -_MICROSECOND,
    timedelta(seconds=1),
    timedelta(seconds=-1),
    timedelta(hours=1),
    timedelta(hours=-1),
    timedelta(days=3652),
    timedelta(days=-3652),
)
_APPENDS: Final = 12
_ZONES: Final = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC")


class _Clock:
    """A clock that may go anywhere between two looks."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self.moment = _LAST - timedelta(seconds=2) if source.random() < 0.1 else _START

    def jump(self) -> None:
        step = self._source.choice(_STEPS)
        self.moment = max(_FIRST, self.moment + step) if _LAST - self.moment > step else _LAST

    def now(self) -> str:
        return canonical(self.moment)


def jumping_clocks(root: Path, figures: Figures, *, count: int, seed: int) -> None:
    """Make ``count`` histories by a clock that jumps between the appends, and check each of them."""
    source = random.Random(seed)
    without_syncs()
    for number in range(count):
        store, clock = LocalStore(str(root / str(number))), _Clock(source)
        put(local, "now", clock.now)
        try:
            for _ in range(_APPENDS):
                clock.jump()
                _append(store, clock, source)
            _check_times(store, figures, f"seed {seed}, history {number}")
        except Exception as error:  # noqa: BLE001 (what a rig looks for)
            figures.find("exceptions", f"seed {seed}, history {number}: {error!r}")
        figures.states += 1
        shutil.rmtree(store.root)


def _append(store: LocalStore, clock: _Clock, source: random.Random) -> None:
    """Append to one or two streams, sometimes with times of the past; one that does not fit is refused."""
    events = [NewEvent("seen", time=_earlier(clock, source)) for _ in range(source.choice((1, 1, 3)))]
    streams = source.choice((["a"], ["b"], ["a", "b"]))
    try:
        store.append([Write(stream, events) for stream in streams])
    except Refused:
        if all(event.time is None for event in events):
            raise


def _earlier(clock: _Clock, source: random.Random) -> str | None:
    if source.random() < 0.7:
        return None
    return canonical(max(_FIRST, clock.moment - source.choice((timedelta(0), _MICROSECOND, timedelta(days=30)))))


def _check_times(store: LocalStore, figures: Figures, what: str) -> None:
    """Check that no time goes back, and that the version as of every moment near an event is right."""
    head = store.head()
    commits = [line for lines in store.read_all(end=head.position) for line in lines]
    events = [json.loads(line) for line in commits]
    recorded = [event.get("recorded", event["time"]) for event in events]
    if recorded != sorted(recorded):
        figures.find("exceptions", f"{what}: a commit time went back")
    for stream in {event["stream"] for event in events}:
        times = [event["time"] for event in events if event["stream"] == stream]
        if times != sorted(times):
            figures.find("exceptions", f"{what}: a time of {stream} went back")
        for moment in {near for at in times for near in _around(at)}:
            found, expected = store.version_at(stream, moment, end=head.position), bisect_right(times, moment)
            if found != expected:
                figures.find("lost", f"{what}: {stream} as of {moment} is version {found}, not {expected}")
        state = Store(store).replay(stream, reducer="count", until=times[0]).state
        if state != bisect_right(times, times[0]):
            figures.find("lost", f"{what}: replay as of {times[0]} counts {state}")
    store.verify()


def _around(instant: str) -> list[str]:
    moment = datetime.fromisoformat(instant)
    near = [instant]
    if moment > datetime.min.replace(tzinfo=UTC) + _MICROSECOND:
        near.append(canonical(moment - _MICROSECOND))
    if moment < _LAST - _MICROSECOND:
        near.append(canonical(moment + _MICROSECOND))
    return near


# the user's zone


def changing_zones(root: Path, figures: Figures, *, count: int, seed: int) -> None:
    """Ask as of wall-clock times around the changes of daylight saving time; the answer is worked out minute by minute."""
    source = random.Random(seed)
    for number in range(count):
        name = source.choice(_ZONES)
        os.environ["TZ"] = name
        time.tzset()
        change = _find_change(ZoneInfo(name), source.choice((1990, 2011, 2024, 2026)), source)
        minutes = [change + timedelta(minutes=minute) for minute in range(-150, 151)]
        store = LocalStore(str(root / str(number)))
        kept = sorted(source.sample(minutes, 40))
        store.append([Write("a", [NewEvent("seen", time=canonical(moment)) for moment in kept])])
        for _ in range(10):
            wall = source.choice(minutes[60:-60]).astimezone(ZoneInfo(name)).replace(tzinfo=None)
            wall += timedelta(minutes=source.randint(-60, 60))
            end = _last_minute_at(wall, ZoneInfo(name), minutes)
            expected = sum(moment <= end for moment in kept)
            found = Store(store).replay("a", reducer="count", until=wall.isoformat(timespec="minutes")).state
            if end not in (minutes[0], minutes[-1]) and found != expected:
                figures.find("lost", f"{name}, --until {wall}: {found} events, not {expected}")
        figures.states += 1


def _find_change(zone: ZoneInfo, year: int, source: random.Random) -> datetime:
    """Return the hour before which the zone changes its offset in a year; any where it does not."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(365 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    changes = [hours[at] for at in range(1, len(hours)) if offsets[at] != offsets[at - 1]]
    return source.choice(changes or hours[200:-200])


def _last_minute_at(wall: datetime, zone: ZoneInfo, minutes: list[datetime]) -> datetime:
    """Return the last minute that clocks show as ``wall``, or, where they skip it, the last that they show before it."""
    shown = [moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in minutes]
    same = [moment for moment, seen in zip(minutes, shown, strict=True) if seen == wall]
    before = [moment for moment, seen in zip(minutes, shown, strict=True) if seen < wall]
    return (same or before or minutes[:1])[-1]


# real processes


def real_clocks(root: Path, figures: Figures) -> None:
    """Run evcli under faketime in changing zones, years apart, backward too."""
    if not shutil.which("faketime"):
        figures.left_out.append("real processes: there is no faketime")
        return
    store, count = root / "store", 0
    for moment, zone in (
        ("2026-11-23 08:00:00", "Europe/Berlin"),
        ("2016-11-23 08:00:00", None),
        ("2036-11-23 08:00:00", ""),
        ("2036-11-23 07:59:59", "Nowhere/Land"),
        ("2026-10-25 02:30:00", "Europe/Berlin"),
        ("2262-04-11 23:00:00", "UTC"),  # the last that Python can tell
        ("1975-01-01 00:00:00", "Pacific/Apia"),
    ):
        environment = {**os.environ, "TZ": zone} if zone is not None else {**os.environ}
        if zone is None:
            environment.pop("TZ", None)
        for stream in ("a", "b"):
            done = _evcli(moment, environment, "--store", str(store), "append", stream, "seen")
            count += 1
            if done.returncode:
                figures.find("exceptions", f"append at {moment}, TZ={zone}: {done.stderr!r}")
        done = _evcli(
            moment, environment, "--store", str(store), "log", "-o", "table", "--until", "9999-12-31T23:59:59.999999Z"
        )
        if done.returncode or done.stdout.count(b"\n") != count:
            figures.find("lost", f"log at {moment}, TZ={zone}: {done.stdout!r} {done.stderr!r}")
        figures.states += 1
    _check_times(LocalStore(str(store)), figures, "faketime")
    done = _evcli("9999-12-31 23:59:58", {**os.environ, "TZ": "UTC"}, "--store", str(store), "append", "a", "seen")
    if not done.returncode or b"Traceback" in done.stderr or LocalStore(str(store)).head().position != count:
        figures.find("exceptions", f"a clock that Python cannot read: {done.stderr!r}")


def _evcli(moment: str, environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["faketime", "-f", moment, sys.executable, "-m", "evcli", *words],
        env=environment,
        capture_output=True,
        check=False,
    )


def run(tier: Tier) -> Figures:
    """Make the histories side by side."""
    figures, count = Figures(), tier.of(100, 1_000)
    parts: list[Callable[[Path, Figures], None]] = [
        partial(jumping_clocks, count=count // 2, seed=tier.seed),
        partial(jumping_clocks, count=count // 2, seed=tier.seed + 1_000),
        partial(changing_zones, count=count // 10, seed=tier.seed),
        real_clocks,
    ]
    side_by_side(figures, parts, in_memory=True)
    return figures


RIG = Rig("clock", run)
