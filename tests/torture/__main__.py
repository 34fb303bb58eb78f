"""``python -m tests.torture [--long [--part N]] [--only NAME] [--seed N]``: run the rigs, and print a line of figures each."""

import argparse
import sys

from tests.torture.rig import Tier, timed
from tests.torture.rigs import all_rigs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long tier: hours")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="one N-th of the long tier's counts")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rig (may be given several times)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    given = parser.parse_args()
    clean = True
    for rig in all_rigs():
        if given.only and rig.name not in given.only:
            continue
        hindrance = rig.hindrance()
        if hindrance:
            print(f"{rig.name}: skipped: {hindrance}", flush=True)
            continue
        figures, line = timed(rig, Tier(quick=not given.long, seed=given.seed, part=given.part))
        print(line, *figures.problems, sep="\n  ", flush=True)
        clean = clean and figures.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
