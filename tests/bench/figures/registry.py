"""All figures, in the order in which they are measured; each module has a tuple of them, ``FIGURES``."""

from importlib import import_module
from typing import Final

from tests.bench.figure import Figure

# The long stream is made by the first figure about memory: those that go on with it come after.
MODULES: Final = ("one_call", "appending", "replaying", "views", "memory", "flatness", "moments", "printing")


def all_figures() -> list[Figure]:
    """Load every figure."""
    return [figure for name in MODULES for figure in import_module(f"tests.bench.figures.{name}").FIGURES]
