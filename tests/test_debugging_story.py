"""The story that ``evcli help debugging`` tells of the samples goes as it is told."""

import os
import shutil
from pathlib import Path

import pytest

from evcli.cli.help import topic_text
from tests.test_readme import mask, read_steps, run_steps

ROOT = Path(__file__).parent.parent
TOPIC = ROOT / "evcli/cli/topics/debugging.md"


def test_the_story_on_the_samples_goes_as_it_is_told(tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    home = tmp_path.resolve() / "ann"
    shutil.copytree(ROOT / "sample_logs", home / "evcli/sample_logs")
    document = topic_text("debugging")
    steps = list(read_steps(document))
    outputs = run_steps(steps, home, columns=100)
    places = [step.place for step in steps if step.place]
    shown = [document[slice(*place)] for place in places]
    if os.environ.get("EVCLI_UPDATE") and mask(shown) != mask(outputs):
        for place, output in zip(reversed(places), reversed(outputs), strict=True):
            document = document[: place[0]] + output + document[place[1] :]
        TOPIC.write_text(document)
        return
    assert len(steps) > 10
    assert list(zip([step.command for step in steps], mask(outputs), strict=True)) == list(
        zip([step.command for step in steps], mask(shown), strict=True)
    )
