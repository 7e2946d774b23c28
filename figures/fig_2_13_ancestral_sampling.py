"""Ancestral sampling of the Ex 2.1 mixture with the exact score: when the law is right.

Look at the lower row: the error of the distribution function against the band in which
100,000 fair samples stay with probability 1 - 1e-6 (Kolmogorov-Smirnov). With T = 1000
and the linear schedule the sampler passes. With Ex 2.1's own alpha = 0.97 and T = 200
it fails, although its score is exact: the steps are too long. About 15 seconds.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from refdiff import ddpm, plots, schedule, toys

HERE = Path(__file__).parent
CASES = {
    "linear, T = 1000": schedule.linear(1000),
    "alpha = 0.97, T = 200": schedule.constant(200, 0.97),
}


def main(out=HERE / "fig_2_13_ancestral_sampling.png", seed=0, n=100_000):
    """Draw the figure; return {case: (grid, error of the CDF, D)} and the band."""
    law, rng = toys.example_2_1(), np.random.default_rng(seed)
    std = np.sqrt(law.covs[:, 0, 0])
    grid = np.linspace(-4, 6, 1001)
    cdf = stats.norm.cdf((grid[:, None] - law.means[:, 0]) / std) @ law.weights
    band = stats.kstwo.isf(1e-6, n)
    fig, axes = plots.figure(2, 2, 3.4)
    curves = {}
    for (title, sched), (above, below) in zip(CASES.items(), axes.T, strict=True):
        start = rng.standard_normal((n, 1))
        *_, x = ddpm.ddpm_chain(sched).run(start, law.model, rng=rng)
        error = np.searchsorted(np.sort(x[:, 0]), grid, side="right") / n - cdf
        D = np.abs(error).max()
        curves[title] = grid, error, D
        plots.cloud(above, x, title, plots.EXACT, 6.0, law)
        above.legend(["density of the data", "samples"], fontsize=8, frameon=False)
        below.axhspan(-band, band, color="0.88", label=f"KS band, ±{band:.4f}")
        below.plot(grid, error, color=plots.LEARNED, label=f"D = {D:.4f}")
        verdict = "passes" if D < band else "fails"
        below.set_title(f"{verdict} KS (level 1e-6, n {n:,})", fontsize=10)
        below.set(xlabel="x", ylabel="error of the distribution function")
        below.set_ylim(-0.035, 0.035)
        below.legend(fontsize=8, frameon=False, loc="lower right")
    plots.save(fig, out)
    return curves, band


if __name__ == "__main__":
    main()
