"""The seeded bugs still apply to the code; that each is caught, ``python -m tests.torture.seeded`` shows."""

import pytest

from tests.torture.seeded import ROOT, SEEDS, Seed, path_of


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_the_line_that_a_seed_breaks_is_there_once(seed: Seed) -> None:
    text = path_of(seed, ROOT).read_text()
    assert text.count(seed.old) == 1
    compile(text.replace(seed.old, seed.new), seed.file, "exec")
