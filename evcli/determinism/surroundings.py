"""Surroundings that must not matter: the hash seed, the clock, the zone, the locale, and where folding has begun."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_FOREIGN: Final = ("de_DE", "fr_FR", "ru_RU", "tr_TR", "ja_JP", "es_ES", "pt_BR", "en_IN", "en_GB", "en_US")


class Surroundings(NamedTuple):
    """In what a process folds and decides.

    ``how`` says it in words; ``shift`` is what is added to the clock, in seconds; ``zone`` is a POSIX ``TZ``, which needs
    no zone files, or "" for the one there is; ``resumes`` is whether states go through JSON on the way, and code is
    loaded afresh, as where folding goes on from a snapshot.
    """

    how: str
    seed: int
    shift: int = 0
    zone: str = ""
    resumes: bool = False


AS_IT_IS: Final = Surroundings("as it is", seed=0)
OTHERS: Final = (
    Surroundings(
        "with another hash seed, clock, time zone and locale",
        seed=1,
        shift=400 * _DAY + 7 * _HOUR,
        zone="<+1345>-13:45",
    ),
    Surroundings(
        "with another hash seed, clock, time zone and locale", seed=2, shift=-800 * _DAY - 5 * _HOUR, zone="<-11>11"
    ),
    Surroundings("resumed from snapshots", seed=0, resumes=True),
)


def environment(surroundings: Surroundings, env: Mapping[str, str], locales: Sequence[str]) -> dict[str, str]:
    """Return the environment of a process in these surroundings, where these locales are installed."""
    found = {**env, "PYTHONHASHSEED": str(surroundings.seed)}
    if surroundings.zone:
        current = env.get("LC_ALL") or env.get("LANG") or "C"
        found |= {"TZ": surroundings.zone, "LC_ALL": _other_locale(current, locales, surroundings.seed)}
    return found


def installed_locales() -> list[str]:
    """Return the names of the locales that are installed, as far as it can be told."""
    try:
        done = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False)  # noqa: S607 (POSIX)
    except OSError:
        return []
    return done.stdout.split()


def under_faketime(surroundings: Surroundings, command: list[str]) -> list[str]:
    """Return the command as faketime(1) runs it, with all that it starts, on the other clock."""
    return ["faketime", "-f", f"{surroundings.shift:+d}s", *command] if surroundings.shift else command


def has_faketime() -> bool:
    """Say whether there is faketime(1), the only way to give programs another clock."""
    return shutil.which("faketime") is not None


def _other_locale(current: str, installed: Sequence[str], seed: int) -> str:
    """Return a locale with other habits than the current one; C, or one of C's, where no other is there."""
    foreign = [name for start in _FOREIGN for name in installed if name.startswith(start) and start not in current]
    plain = [name for name in ("C", "C.UTF-8") if name != current]
    return ([*foreign[:1], *plain])[(seed - 1) % (len(foreign[:1]) + len(plain))]
