"""``make simulate``: a million steps, or one run again: ``python -m tests.simulation --seed 7 --steps 100``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.run import search


def _search(seed: int, steps: int) -> str:
    return search(iter([seed]), steps)


def main() -> int:
    """Run until the steps are used up or an invariant breaks, with a process for each core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one run")
    parser.add_argument("--steps", type=int, default=1000, help="of each run")
    parser.add_argument("--total", type=int, default=1_000_000, help="steps of all runs")
    parser.add_argument("--start", type=int, default=10_000, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    options = parser.parse_args()
    first, runs = (options.start, options.total // options.steps) if options.seed is None else (options.seed, 1)
    started = time.monotonic()
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(_search, seed, options.steps) for seed in range(first, first + runs)]
        for done, each in enumerate(as_completed(waiting), start=1):
            if found := each.result():
                pool.shutdown(wait=False, cancel_futures=True)
                print(found)
                return 1
            if sys.stderr.isatty() or done % 10 == 0:
                speed = done * options.steps / (time.monotonic() - started)
                print(f"\r{done * options.steps:,} steps, {speed:,.0f} a second", end="", file=sys.stderr, flush=True)
    print(f"\n{runs * options.steps:,} steps, and every invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
