"""How good the tour's model is: `python tests/bench/quality.py`, about ten minutes.

For each data set, trained on fresh draws with five seeds: the learned sampler's sliced
Wasserstein-2 distance to fresh data in noise floors (median and range over the seeds),
and the exact model's beside it. Prints a Markdown table.
"""

import sys

import numpy as np

from refdiff import tour
from refdiff.data import load_data

DATA = ["moons", "eight-gaussians", "grid", "ex-2.1", "ex-3.2", "ex-4.6"]


def ratios(name, seed):
    """Noise floors of the learned and of the exact model, for one seed."""
    settings = tour.Settings(data=name, seed=seed)
    data = load_data(name, settings.rng(0))
    *_, state = tour.training(settings, data)
    result = tour.compare(settings, data, state.ema)
    return [run.w2 / result.w2_floor for run in result.runs]


def main(names):
    """Print one row a data set."""
    print("| data | learned: median (range) | exact: median (range) |")
    print("|---|---|---|")
    for name in names:
        found = np.array([ratios(name, seed) for seed in range(5)])
        cells = [
            f"{np.median(column):.1f} ({column.min():.1f} to {column.max():.1f})"
            for column in found.T
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or DATA)
