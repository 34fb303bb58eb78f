import pytest

import evcli.read_side.states
import evcli.storage.snapshots


@pytest.fixture
def tight_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a short stream have snapshots too."""
    for module in (evcli.read_side.states, evcli.storage.snapshots):
        monkeypatch.setattr(module, "LEAST_SPACING", 2)
        monkeypatch.setattr(module, "MOST_RUNGS", 8)
