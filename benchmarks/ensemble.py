"""Time and memory of optimal sparsity for many points under a whole ensemble.

    python benchmarks/ensemble.py --points 1000000 --cost dense

Points are random sizes and budgets; every one is solved for each of the law's 1000 members and
summarised by its central interval, a block at a time. Prints seconds and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from functools import partial

import numpy as np

from simlib.datasets import load_law
from simlib.optimum import COSTS, chinchilla_flops, optimal_sparsity
from simlib.simulate.blocks import summarise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--law", default="t5-c4-refit")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--cost", choices=list(COSTS), default="dense")
    args = parser.parse_args()
    law_file, rng = load_law(args.law), np.random.default_rng(0)
    N = np.exp(rng.uniform(np.log(1e7), np.log(1e12), args.points))
    C = chinchilla_flops(law_file.joint, N) * np.exp(rng.uniform(-1, 7, args.points))
    begun = time.perf_counter()
    found = summarise(law_file, partial(optimal_sparsity, cost=args.cost), N, C)
    seconds = time.perf_counter() - begun
    members = len(law_file.members().vector())
    product = args.points * members * 8 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{args.points} points x {members} members, {args.cost} cost: {seconds:.1f} s, peak "
          f"{peak:.2f} GB (the product alone: {product:.2f} GB)")  # fmt: skip
    print(f"mean width of the interval {float((found.high - found.low).mean()):.3f}")


if __name__ == "__main__":
    main()
