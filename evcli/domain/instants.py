"""Instants: the one form in which evcli keeps a moment, and the texts it reads them from.

An instant is its canonical text everywhere: RFC 3339 in UTC with exactly six fraction digits and ``Z``
(``2026-11-23T08:00:00.000001Z``, 27 characters), so that texts compare as the moments do.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from evcli.domain.durations import quote
from evcli.errors import BadTime, Refused

# Patterns stay texts, which `re` compiles (and keeps) at their first use: most runs read no time at all.
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECONDS: Final = r":[0-5][0-9](?:\.[0-9]+)?"
_BASIC_CLOCK: Final = r"(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9](?:\.[0-9]+)?)?"
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET: Final = r"[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]"
_OPTION_ZONE: Final = r"(?P<zone>z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_RFC3339: Final = rf"{_DATE}[Tt ]{_CLOCK}{_SECONDS}(?:[Zz]|{_OFFSET})"
_MOMENT: Final = rf"(?:{_DATE}[t ]{_CLOCK}(?:{_SECONDS})?|[0-9]{{8}}[t ]{_BASIC_CLOCK}){_OPTION_ZONE}?"
_DAY: Final = rf"{_DATE}|[0-9]{{8}}"
_MONTH: Final = r"([0-9]{4})-([0-9]{2})"
_DAY_BY_NAME: Final = (
    rf"(?:(?P<day>today|yesterday)|last (?P<weekday>{'|'.join(_WEEKDAYS)}))"
    rf"(?: (?P<clock>{_CLOCK}(?:{_SECONDS})?))?"
)
_ELAPSED: Final = r"([0-9]{1,9}) ?(s|m|h|d|w|(?:second|minute|hour|day|week)s?)"
_AGO: Final = rf"{_ELAPSED}(?: ago)?"
_NOW_MINUS: Final = rf"now ?- ?{_ELAPSED}"
_EPOCH: Final = r"@([0-9]{1,12})(?:\.([0-9]+))?"

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_WANTED: Final = "use RFC 3339 with a zone, such as 2026-11-23T08:00:00Z or 2026-11-23T09:00:00.25+01:00"
_TIME_EXAMPLES: Final = "write 2026-11-23T08:00, 'yesterday 15:00' or 2h (ago); more in 'evcli help time'"


def canonical(moment: datetime) -> str:
    """Write an aware datetime as a canonical instant.

    Raises:
        OverflowError: If it lies before year 1 or after 9999 in UTC.
    """
    assert moment.utcoffset() is not None, "a naive datetime is no instant"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def just_before(instant: str) -> str:
    """Return what sorts before a canonical instant and after every earlier one; it is for comparing only."""
    return instant[:-1] + "Y"  # Z comes next


def parse_rfc3339(text: str) -> str:
    """Read a full RFC 3339 timestamp, as data holds it, as a canonical instant.

    Seconds and a zone are required, digits past the sixth of a fraction are cut, and a space may stand for
    the ``T``.

    Raises:
        Refused: For anything else, also a leap second (``:60``) and what is not in years 1 to 9999 in UTC.
    """
    if re.fullmatch(_RFC3339, text):
        try:
            return canonical(datetime.fromisoformat(text.upper()))
        except (ValueError, OverflowError):
            pass
    raise Refused(f"{quote(text)} is not a time that can be stored", _WANTED)


def parse_instant(text: str, *, now: datetime, local: Callable[[datetime], datetime], end: bool) -> str:
    """Read the time of an option (``--until``, ``--since``, ``--time``) as a canonical instant.

    `evcli help time` lists the forms. A wall-clock time that the user's clocks show twice is the first of
    the two, or the last for ``end``; one that they skip is the moment they jumped, or the microsecond before
    it for ``end``.

    Args:
        text: What the user wrote.
        now: The present, aware, in any zone.
        local: Shows a datetime in the user's zone: a naive one is taken as its wall clock (heeding ``fold``,
            PEP 495), an aware one is converted. ``datetime.astimezone`` does so for the system's zone.
        end: Whether a day or month alone stands for its last microsecond, rather than its first.

    Raises:
        BadTime: If it is no time, or more than one; with three examples.
    """
    # Only ASCII, since the lower case of some other letters (the Kelvin sign) is ASCII.
    words = " ".join(text.split()).lower() if text.isascii() else ""
    try:
        moment = _parse_exact(words, now.astimezone(UTC))
        if moment is None:
            wall = _parse_wall_clock(words, today=local(now).date(), end=end)
            moment = None if wall is None else _place_wall_clock(wall, local, end=end)
        if moment is not None:
            return canonical(moment)
    except (ValueError, OverflowError):
        pass  # the form is right, but there is no such day, or evcli's years do not reach there
    raise BadTime(f"{quote(text)} is not a time that evcli can read", _TIME_EXAMPLES)


def _parse_exact(words: str, now: datetime) -> datetime | None:
    """Read what is the same moment in every zone; ``now`` is in UTC, where arithmetic is on elapsed time."""
    if words == "now":
        return now
    if found := re.fullmatch(_AGO, words) or re.fullmatch(_NOW_MINUS, words):
        return now - timedelta(seconds=int(found[1]) * _UNIT_SECONDS[found[2][0]])
    if found := re.fullmatch(_EPOCH, words):
        microseconds = int((found[2] or "")[:6].ljust(6, "0"))
        return _UNIX_EPOCH + timedelta(seconds=int(found[1]), microseconds=microseconds)
    if (found := re.fullmatch(_MOMENT, words)) and found["zone"]:
        return datetime.fromisoformat(words.upper())
    return None


def _parse_wall_clock(words: str, *, today: date, end: bool) -> datetime | None:
    """Read what depends on the user's zone, as a naive datetime on its clocks."""
    if re.fullmatch(_MOMENT, words):
        return datetime.fromisoformat(words.upper())
    edge = time.max if end else time.min
    if found := re.fullmatch(_DAY_BY_NAME, words):
        day = today - timedelta(days=_count_days_back(found["day"], found["weekday"], today))
        return datetime.combine(day, time.fromisoformat(found["clock"]) if found["clock"] else edge)
    if re.fullmatch(_DAY, words):
        return datetime.combine(date.fromisoformat(words), edge)
    if found := re.fullmatch(_MONTH, words):
        first = date(int(found[1]), int(found[2]), 1)
        return datetime.combine(_find_last_day(first) if end else first, edge)
    return None


def _count_days_back(day: str | None, weekday: str, today: date) -> int:
    if day:
        return 0 if day == "today" else 1
    return (today.weekday() - _WEEKDAYS.index(weekday) - 1) % 7 + 1


def _find_last_day(first_of_month: date) -> date:
    from calendar import monthrange

    return first_of_month.replace(day=monthrange(first_of_month.year, first_of_month.month)[1])


def _place_wall_clock(wall: datetime, local: Callable[[datetime], datetime], *, end: bool) -> datetime:
    """Find when the clocks first show ``wall`` or later; for ``end``, when they last show it or earlier."""
    low, high = sorted(local(wall.replace(fold=fold)).astimezone(UTC) for fold in (0, 1))
    if _show(low, local) == wall:
        return high if end else low
    # The clocks skip it. Its two readings (PEP 495) are on either side of the jump; astimezone swaps them.
    while high - low > _MICROSECOND:
        middle = low + (high - low) / 2
        if _show(middle, local) < wall:
            low = middle
        else:
            high = middle
    return low if end else high


def _show(moment: datetime, local: Callable[[datetime], datetime]) -> datetime:
    return local(moment).replace(tzinfo=None, fold=0)
