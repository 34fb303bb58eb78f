"""The rigs, in the order in which they run; each module has a ``RIG`` (or several, in ``RIGS``)."""

from importlib import import_module

from tests.torture.rig import Rig

MODULES = (
    "torn",
    "crash_states",
    "kill",
    "faults",
    "no_space",
    "fsync",
    "power",
    "flips",
    "readers",
    "model",
    "locks",
    "clock",
    "terminal",
    "views",
    "deciding",
    "queueing",
)


def all_rigs() -> list[Rig]:
    """Load every rig."""
    found: list[Rig] = []
    for name in MODULES:
        module = import_module(f"tests.torture.{name}")
        found += getattr(module, "RIGS", None) or [module.RIG]
    return found
