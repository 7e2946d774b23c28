"""Densities over their scores: N(1, 1), and the mixture of Ex 3.2.

Look at the zeros of the score on the right: the two that it crosses downwards are modes,
the one upwards between them is the valley, at -0.82, from which paths part. Beside each
mode it is the score of that Gaussian alone, of slope -1/sigma^2: -25 and -4. The
densities are the tutorial's, the ranges are chosen. Below 1 second.
"""

from pathlib import Path

import numpy as np

from refdiff import plots, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_3_05_score.png", seed=0, m=4000):
    """Draw the figure; return {name: (x, density, score)} (nothing is random)."""
    one = toys.blobs([1.0], [[1.0]], 1.0)
    cases = {
        "N(1, 1)": (one, np.linspace(-3, 5, m)),
        "0.6 N(2, 0.5²) + 0.4 N(-2, 0.2²)": (toys.example_3_2(), np.linspace(-3, 4, m)),
    }
    fig, axes = plots.figure(2, 2, 3.2)
    curves = {}
    for (name, (law, x)), (above, below) in zip(cases.items(), axes.T, strict=True):
        p, s = np.exp(law.logpdf(x[:, None])), law.score(x[:, None])[:, 0]
        curves[name] = x, p, s
        above.fill_between(x, p, color=plots.DATA, alpha=0.25)
        above.plot(x, p, color=plots.DATA)
        above.set_title(name, fontsize=10)
        above.set(ylabel="p(x)", ylim=(0, None))
        below.axhline(0, color="0.6", lw=1)
        below.plot(x, s, color=plots.EXACT)
        below.set(xlabel="x", ylabel="score, d/dx log p(x)")
        k = np.flatnonzero(np.diff(s > 0))
        zeros = x[k] - s[k] * (x[k + 1] - x[k]) / (s[k + 1] - s[k])
        for zero, falls in zip(zeros, s[k] > 0, strict=True):
            color = plots.DATA if falls else plots.LEARNED
            name = f"{'mode' if falls else 'valley'}, x = {zero:.2f}"
            below.plot(zero, 0, "o", color=color, label=name)
            above.axvline(zero, color=color, lw=1, ls=":")
        below.legend(fontsize=8, frameon=False, loc="upper right")
        for ax in (above, below):
            ax.set_xlim(x[0], x[-1])
    plots.save(fig, out)
    return curves


if __name__ == "__main__":
    main()
