"""The shorter experiments on claims of the papers in turn, each with its own budget: ``python -m experiments``; --scale 0.1 makes all of them ten times shorter."""

from __future__ import annotations

import argparse
import time

import torch

from . import amplitudes, position, shift, vit, window_growth
from .mechanism import Budget, show

EXPERIMENTS = (shift, position, window_growth, amplitudes, vit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the pictures that each run sees (default: 1)")
    parser.add_argument("--seeds", type=int, help="runs of each arm; each experiment's own number by default")
    parser.add_argument("--threads", type=int, help="of the processor; all by default")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    begun, found = time.perf_counter(), []
    for experiment in EXPERIMENTS:
        print(experiment.__name__, flush=True)
        pictures, seeds = round(experiment.PICTURES * given.scale), given.seeds or experiment.SEEDS
        found.append(experiment.run(Budget(pictures, seeds, threads=given.threads)))
    print(f"\nAll in {(time.perf_counter() - begun) / 60:.0f} minutes.")
    for result in found:
        show(result)


if __name__ == "__main__":
    main()
