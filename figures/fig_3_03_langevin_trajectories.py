"""Fifty Langevin trajectories in the mixture of Ex 3.2, coloured by where they end.

Look at the dashed line, the valley between the modes: a trajectory ends in the mode on
whose side it began, unless it crosses at once. So the share that ends on the left is that
of the starts beyond the valley, P(N(0, 1) < -0.82) = 0.21, and not the mode's weight 0.4.
The tutorial's: the mixture and tau = 0.001. Chosen: 50 trajectories of 1500 steps, from
white noise as in Def 3.1 (from Ex 3.2's x_0 = 0 all would go right). About 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import langevin, plots, toys

HERE = Path(__file__).parent
VALLEY = -0.8207  # where the score is 0 between the modes


def main(out=HERE / "fig_3_03_langevin_trajectories.png", seed=0, n=50, T=1500):
    """Draw the figure; return the paths (T+1, n) and which of them end on the left."""
    law, rng, tau = toys.example_3_2(), np.random.default_rng(seed), 0.001
    chain, start = langevin.langevin_chain(tau, T), rng.standard_normal((n, 1))
    paths = np.array(list(chain.run(start, law.model, rng=rng)))[:, :, 0]
    left = paths[-1] < VALLEY
    fig, (axes,) = plots.figure(1, 2, 4.0)
    for x, at_left in zip(paths.T, left, strict=True):
        color = plots.LEARNED if at_left else plots.DATA
        axes[0].plot(np.arange(T + 1), x, lw=0.4, color=color, alpha=0.8)
    axes[0].set(xlabel="step t", ylabel="x", xlim=(0, T))
    axes[0].set_title(f"{n} trajectories, tau = {tau}", fontsize=10)
    bins = np.linspace(-3.5, 4, 31)
    look = {"orientation": "horizontal", "stacked": True, "alpha": 0.6}
    names = [f"end left: {left.mean():.2f}", f"end right: {1 - left.mean():.2f}"]
    ends, colors = [paths[-1][left], paths[-1][~left]], [plots.LEARNED, plots.DATA]
    look["weights"] = [np.full(len(x), 1 / n / (bins[1] - bins[0])) for x in ends]
    axes[1].hist(ends, bins, color=colors, label=names, **look)
    grid = np.linspace(-3.5, 4, 400)
    density = np.exp(law.logpdf(grid[:, None]))
    axes[1].plot(density, grid, color="black", lw=1, label="p(x): 0.40 and 0.60")
    axes[1].set(xlabel="density", ylabel="x")
    axes[1].set_title(f"where they are after {T} steps", fontsize=10)
    for ax in axes:
        ax.set_ylim(-3.5, 4)
        ax.axhline(VALLEY, color="black", ls="--", lw=1)
    axes[1].legend(fontsize=8, frameon=False, loc="upper right")
    fig.suptitle("Ex 3.2's mixture, from N(0, 1); dashed: the valley", fontsize=10)
    plots.save(fig, out)
    return paths, left


if __name__ == "__main__":
    main()
