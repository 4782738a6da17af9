"""`python -m tests.flood`: each flood for 60 s, and what a real PBX noticed of it."""

import argparse
import os
import sys

from tests.flood.run import RATES, run
from tests.interop.stage import ProgramMissing


def main() -> int:
    """Flood and print. Returns 0 if no call of the real PBX was lost, 1 if some were, 2 if a program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"default: all of {', '.join(RATES)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each flood (default 60)")
    parser.add_argument("--rate", type=float, default=0.0, help="how many a second; default: ten times one core")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(RATES):
        parser.error(f"no such flood: {', '.join(sorted(unknown))}")
    print(f"load average before: {os.getloadavg()[0]:.1f}", flush=True)
    good = True
    try:
        for kind in options.kinds or RATES:
            seen = run(kind, options.seconds, options.rate)
            print(seen, flush=True)
            good &= not seen.lost and not seen.held_lost and seen.recovered
    except ProgramMissing as missing:
        print(f"cannot flood: {missing}")
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
