"""What decides on the commands to each stream, as ``evcli.toml`` has it now, with the states that it decides on."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from evcli.domain.tries import TIMEOUT
from evcli.write_side.executing import Deciding, StateBy

if TYPE_CHECKING:
    from evcli.project.config import Config
    from evcli.project.deciders import DeciderDefinition


def deciding_by(
    config: "Config",
    definition: "DeciderDefinition",
    state_by: StateBy,
    stream: str,
    *,
    timeout: float | None = TIMEOUT,
) -> Deciding:
    """Return what decides on the commands to ``stream`` by one definition.

    Raises:
        NotTrusted: If it is code that may not run.
        CodeFailed: If it cannot be loaded.
    """
    decider = definition.load()
    return Deciding(decider, definition.state_by(config.definition_for(stream)), state_by, timeout)


class Deciders:
    """Deciders of a store that stay loaded for as long as their definitions are what they were; for several threads.

    Args:
        load_config: Reads ``evcli.toml`` anew.
        state_by: Gives the states.
        cache: The root of the caches; None to do without.
        timeout: Seconds that a decider may take.
    """

    def __init__(
        self, load_config: "Callable[[], Config]", state_by: StateBy, *, cache: str | None, timeout: float | None
    ) -> None:
        self._load_config = load_config
        self._state_by = state_by
        self._cache = cache
        self._timeout = timeout
        self._config: Config | None = None
        self._known: dict[str, DeciderDefinition] = {}
        self._current: dict[str, Deciding] = {}
        self._one_at_a_time = threading.Lock()

    def refresh(self) -> None:
        """Look at ``evcli.toml``, and at the deciders' files, anew when one is next asked for."""
        with self._one_at_a_time:
            self._config = None

    def deciding(self, stream: str) -> Deciding:
        """Return what decides on the commands to ``stream``, as it was when it was last looked at.

        Raises:
            NotFound: If nothing does.
            NotTrusted: If it is code that may not run.
            BadConfig: If ``evcli.toml`` is wrong.
            CodeFailed: If it cannot be loaded.
        """
        with self._one_at_a_time:
            if self._config is None:
                self._config = self._load_config()
                self._current.clear()
            if stream not in self._current:
                definition = self._config.decider_for(stream)
                known = self._known.setdefault(definition.fingerprint(self._cache), definition)
                self._current[stream] = deciding_by(self._config, known, self._state_by, stream, timeout=self._timeout)
            return self._current[stream]
