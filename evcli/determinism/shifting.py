"""Another clock for Python code that is loaded after it: the standard library's functions and classes are replaced."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any, Self


def shift_clock(seconds: int) -> None:
    """Let ``time`` and ``datetime`` tell a time that is so many seconds later, for the rest of this process."""
    real, real_ns = time.time, time.time_ns
    real_get, real_get_ns = time.clock_gettime, time.clock_gettime_ns

    def now() -> float:
        return real() + seconds

    def of_now(convert: Callable[[float], Any]) -> Callable[..., Any]:
        return lambda given=None: convert(now() if given is None else given)

    local, as_text, formatted = time.localtime, time.asctime, time.strftime
    replaced: dict[str, Callable[..., Any]] = {
        "time": now,
        "time_ns": lambda: real_ns() + seconds * 1_000_000_000,
        "clock_gettime": lambda clock: real_get(clock) + (seconds if clock == time.CLOCK_REALTIME else 0),
        "clock_gettime_ns": lambda clock: (
            real_get_ns(clock) + (seconds * 1_000_000_000 if clock == time.CLOCK_REALTIME else 0)
        ),
        "localtime": of_now(local),
        "gmtime": of_now(time.gmtime),
        "ctime": of_now(time.ctime),
        "asctime": lambda given=None: as_text(local(now()) if given is None else given),
        "strftime": lambda form, given=None: formatted(form, local(now()) if given is None else given),
    }
    for name, function in replaced.items():
        setattr(time, name, function)
    for name, kind in (("datetime", _shifted_datetime(now)), ("date", _shifted_date(now))):
        setattr(dt, name, kind)


def _shifted_date(now: Callable[[], float]) -> type:
    class Date(dt.date, metaclass=_StandsFor):
        @classmethod
        def today(cls) -> Self:
            return cls.fromtimestamp(now())

    Date.__name__ = Date.__qualname__ = "date"
    return Date


def _shifted_datetime(now: Callable[[], float]) -> type:
    class DateTime(dt.datetime, metaclass=_StandsFor):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Self:
            return cls.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Self:
            return cls.fromtimestamp(now(), dt.UTC).replace(tzinfo=None)

    DateTime.__name__ = DateTime.__qualname__ = "datetime"
    return DateTime


class _StandsFor(type):
    """Takes the instances of the class that one stands for, its first base, for one's own."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])
