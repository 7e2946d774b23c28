"""The H-theorem: KL(p_t || p) never rises, whatever the start, and may wait very long.

Langevin's equation for the mixture of Ex 3.2, from three starts, on a grid. Look at the
stairs: within one unit of time each mode has its shape, and then nothing happens for
five decades, until the shares of the modes are mended, in the end at twice the slowest
rate of the grid's operator (dashed). A KL that stops falling need not have arrived.
No figure of the tutorial; the mixture is Ex 3.2's, and chosen are the starts N(-2, 0.2^2),
N(0, 0.1^2), N(0, 2^2) and the grid, 450 cells on -4..5. About 4 seconds.
"""

from pathlib import Path

import numpy as np
from scipy.linalg import eigh_tridiagonal

from refdiff import fokker_planck, plots, toys

HERE = Path(__file__).parent
STARTS = {(-2.0, 0.2): "the left mode", (0.0, 0.1): "near 0", (0.0, 2.0): "broad"}


def main(out=HERE / "fig_5_08_h_theorem.png", seed=0, steps=1000, m=450):
    """Draw the figure; return t (steps,), {start: KL (steps,)}, the slowest rate."""
    law, found = toys.example_3_2(), {}
    grid = fokker_planck.Grid((m,), (-4.0,), (5.0,))
    W = fokker_planck.potential_operator(grid, law.logpdf, 1.0)
    beside = np.sqrt(W.diagonal(1) * W.diagonal(-1))  # of W made symmetric
    rate = -eigh_tridiagonal(W.diagonal(), beside, eigvals_only=True)[-2]
    rest, t = grid.probabilities(law.logpdf), np.geomspace(1e-4, 3e6, steps)
    fig, ((ax,),) = plots.figure(1, 1, 4.4)
    fig.set_size_inches(7.5, 4.4)
    for (mean, std), name in STARTS.items():
        start = grid.probabilities(
            lambda x, m=mean, s=std: -(((x[:, 0] - m) / s) ** 2) / 2
        )
        _, *states = fokker_planck.evolve(start, W, np.array([0.0, *t]))
        kl = [fokker_planck.relative_entropy(p / p.sum(), rest) for p in states]
        found[name] = np.array(kl)
        ax.loglog(t, kl, lw=1.5, label=f"{name}, N({mean:g}, {std:g}$^2$)")
        stair = kl[np.searchsorted(t, 100.0)] * np.exp(-2 * rate * t)
        ax.plot(t, stair, "--", lw=1, color="black")
    ax.lines[-1].set_label(f"stair exp(-2 rate t), rate {rate:.2e}")
    ax.set(xlabel="t", ylabel="KL(p$_t$ || p), nats", ylim=(1e-4, 30))
    ax.legend(fontsize=9, frameon=False)
    plots.save(fig, out)
    return t, found, rate


if __name__ == "__main__":
    main()
