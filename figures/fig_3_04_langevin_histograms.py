"""Ex 3.3: ten thousand particles from Uniform[-3, 3], at four times.

Look at the last panel, which the text says has become the mixture. It has not: the left
mode holds about 0.36 of the particles, where the mixture has 0.40, and it is too wide,
since tau = 0.05 is a long step where the standard deviation is 0.2. More steps do not
mend it. The tutorial's: the mixture, M = 10000, the start and t = 100. Chosen: tau = 0.05
as in Ex 3.2, and the four times. About 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import langevin, plots, toys

HERE = Path(__file__).parent
TIMES = (0, 5, 20, 100)


def main(out=HERE / "fig_3_04_langevin_histograms.png", seed=0, n=10_000, tau=0.05):
    """Draw the figure; return {t: particles (n,)} and {t: (left weight, its std)}."""
    law, rng = toys.example_3_2(), np.random.default_rng(seed)
    start = rng.uniform(-3, 3, (n, 1))
    states = langevin.langevin_chain(tau, max(TIMES)).run(start, law.model, rng=rng)
    at = {t: x for t, x in enumerate(states) if t in TIMES}
    fig, axes = plots.figure(2, 2, 3.4)
    left = {}
    for (t, x), ax in zip(at.items(), axes.flat, strict=True):
        p = law.responsibilities(x)[:, 1]
        mean = p @ x[:, 0] / p.sum()
        left[t] = p.mean(), np.sqrt(p @ (x[:, 0] - mean) ** 2 / p.sum())
        title = (
            f"t = {t}: left weight {left[t][0]:.2f} (0.40), std {left[t][1]:.2f} (0.20)"
        )
        plots.cloud(ax, x, title, plots.DATA, 4.0, law)
        ax.title.set_fontsize(9)
        ax.set(xlim=(-4, 4), ylim=(0, 0.85))
        ax.label_outer()
    axes[0, 0].legend(["p(x), Ex 3.2", "particles"], fontsize=8, frameon=False)
    text = f"Ex 3.3: {n:,} particles, tau = {tau}; in brackets, the mixture's own"
    fig.suptitle(text, fontsize=10)
    plots.save(fig, out)
    return {t: x[:, 0] for t, x in at.items()}, left


if __name__ == "__main__":
    main()
