"""How often and how long a command is tried."""

from evcli.light_typing import Final

ATTEMPTS: Final = 5
"""How often a command is decided where its stream moves on in between."""
TIMEOUT: Final = 30.0
"""How many seconds a decider may take."""
