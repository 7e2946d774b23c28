"""Kernel density estimates: how kernels add up, and what their width h decides.

Left: seven points, a Gaussian of width h on each, and their mean, which is the estimate.
Right: 1000 samples of the mixture of Ex 3.2. Look at the left mode, which is 0.2 wide:
h = 0.05 follows every accident of the right one, h = 0.4 flattens the left one to half
its height. Each mode asks for its own h. The tutorial gives no numbers; the points, both h and
the mixture here are chosen. Below 1 second.
"""

from pathlib import Path

import numpy as np

from refdiff import plots, score, toys

HERE = Path(__file__).parent
POINTS = np.array([-2.1, -1.7, -1.5, 0.2, 1.1, 1.4, 2.6])[:, None]


def main(out=HERE / "fig_3_07_kernel_density.png", seed=0, n=1000, widths=(0.05, 0.4)):
    """Draw the figure; return the grid, (kernels, their sum), and {h: estimate}, truth."""
    law, x = toys.example_3_2(), np.linspace(-4, 4.5, 851)
    data = law.sample(n, np.random.default_rng(seed))
    h, M = 0.45, len(POINTS)
    each = [np.exp(score.kde(p[None], h).logpdf(x[:, None])) / M for p in POINTS]
    whole = np.exp(score.kde(POINTS, h).logpdf(x[:, None]))
    kde = {h: np.exp(score.kde(data, h).logpdf(x[:, None])) for h in widths}
    truth = np.exp(law.logpdf(x[:, None]))
    fig, (axes,) = plots.figure(1, 2, 4.2)
    axes[0].plot(x, np.transpose(each), color=plots.DATA, lw=1)
    axes[0].plot([], [], color=plots.DATA, lw=1, label="one kernel, divided by M")
    axes[0].plot(x, whole, color=plots.LEARNED, lw=2, label="their sum, $q_h$(x)")
    axes[0].plot(POINTS, 0 * POINTS, "k|", ms=12, label="data")
    axes[0].set_title(f"M = {M} points, h = {h}", fontsize=10)
    axes[0].set(xlabel="x", ylabel="density", ylim=(0, 0.4))
    look = {"density": True, "color": "0.85", "label": "histogram"}
    axes[1].hist(data[:, 0], 60, range=(-3.5, 4.5), **look)
    axes[1].plot(x, truth, color="black", lw=1, label="p(x), Ex 3.2")
    for (h, q), color in zip(kde.items(), (plots.LEARNED, plots.DATA), strict=True):
        error = np.abs(q - truth).sum() * (x[1] - x[0]) / 2
        name = f"h = {h:g}: distance {error:.2f}"
        axes[1].plot(x, q, lw=1.5, color=color, label=name)
    axes[1].set_title(f"M = {n} samples; distance is total variation", fontsize=10)
    axes[1].set(xlabel="x", ylabel="density", ylim=(0, 1.0))
    for ax in axes:
        ax.set_xlim(-4, 4.5)
        ax.legend(fontsize=8, frameon=False, loc="upper right")
    plots.save(fig, out)
    return x, (np.array(each), whole), kde, truth


if __name__ == "__main__":
    main()
