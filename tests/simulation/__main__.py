"""``make simulate``: a million steps, or one run again: ``python -m tests.simulation --seed 7 --steps 100``."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import search


def main() -> int:
    """Run until the steps are used up or an invariant breaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one run")
    parser.add_argument("--steps", type=int, default=100, help="of each run")
    parser.add_argument("--total", type=int, default=1_000_000, help="steps of all runs")
    parser.add_argument("--start", type=int, default=10_000, help="first seed")
    options = parser.parse_args()
    seeds = (
        [options.seed]
        if options.seed is not None
        else range(options.start, options.start + options.total // options.steps)
    )
    started = time.monotonic()
    for done, seed in enumerate(seeds, start=1):
        if found := search(iter([seed]), options.steps):
            print(found)
            return 1
        if sys.stderr.isatty() or done % 100 == 0:
            speed = done * options.steps / (time.monotonic() - started)
            print(f"\r{done * options.steps:,} steps, {speed:,.0f} a second", end="", file=sys.stderr, flush=True)
    print(f"\n{len(seeds) * options.steps:,} steps, and every invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
