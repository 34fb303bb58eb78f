"""What streams are folded and decided by where a command line may name it: its words, and what they come to."""

from typing import Any, NamedTuple

from evcli.domain.reducers import ReducerDefinition
from evcli.project.config import Config, load_config, parse_decider, parse_reducer
from evcli.project.deciders import DeciderDefinition, ProgramDeciderDefinition
from evcli.project.definitions import EXEC_PREFIX, ProgramDefinition


class Choice(NamedTuple):
    """The words of a choice, as another process can be given them.

    ``config`` is the path of the ``evcli.toml``, None for none; ``state_root`` is where trust is recorded; ``reducer``
    and ``decider`` take the place of what is configured, and are looked up in ``base_dir``.
    """

    config: str | None
    state_root: str | None
    base_dir: str
    reducer: str | None = None
    decider: str | None = None

    def load(self) -> "Chosen":
        """Read the ``evcli.toml``, and find what is named.

        Raises:
            BadConfig: If it is wrong.
            Usage: If a reducer or a decider is none, or its file is not there.
        """
        reducer = decider = None
        if self.reducer is not None:
            reducer = parse_reducer(self.reducer, self.base_dir, from_command_line=True)
        if self.decider is not None:
            decider = parse_decider(self.decider, self.base_dir)
        return Chosen(load_config(self.config, state_root=self.state_root), reducer, decider)

    def as_json(self) -> dict[str, Any]:
        """Return the words by name."""
        return self._asdict()


class Chosen(NamedTuple):
    """What streams are folded and decided by: ``reducer`` and ``decider`` where they are named, else as configured."""

    config: Config
    reducer: ReducerDefinition | None
    decider: DeciderDefinition | None

    def has_programs(self) -> bool:
        """Say whether any of it is a program."""
        named = (self.reducer, self.decider, *(entry.reducer for entry in self.config.streams))
        return any(isinstance(each, ProgramDefinition | ProgramDeciderDefinition) for each in named) or any(
            entry.decider is not None and entry.decider.startswith(EXEC_PREFIX) for entry in self.config.streams
        )

    def definition_for(self, stream: str) -> ReducerDefinition:
        """Return what a stream's state is made by: the reducer that is named, the decider's own, or as configured."""
        if self.reducer is not None:
            return self.reducer
        configured = self.config.definition_for(stream)
        return configured if self.decider is None else self.decider.state_by(configured)

    def decider_for(self, stream: str) -> DeciderDefinition:
        """Return what decides on the commands to a stream.

        Raises:
            NotFound: If nothing does.
        """
        return self.config.decider_for(stream) if self.decider is None else self.decider
