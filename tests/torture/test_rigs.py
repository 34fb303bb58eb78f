"""Every rig's quick tier; with ``--torture`` the long one."""

import pytest

from tests.torture.rig import Rig, Tier, timed
from tests.torture.rigs import all_rigs


@pytest.mark.parametrize("rig", all_rigs(), ids=lambda rig: rig.name)
def test_nothing_is_lost(rig: Rig, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    hindrance = rig.hindrance()
    if hindrance:
        pytest.skip(hindrance)
    tier = Tier(quick=not request.config.getoption("--torture"), seed=request.config.getoption("--torture-seed"))
    figures, line = timed(rig, tier)
    with capsys.disabled():
        print(f"\n{line}")
    assert figures.clean, "\n".join([line, *figures.problems])
