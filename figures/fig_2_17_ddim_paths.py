"""Reverse paths of DDIM from the same twelve points, with no, half and full noise.

Look for crossings: with eta = 0 the map from x_T to x_0 is increasing, so that no two
paths ever meet, and the quantiles of N(0, 1) become nearly the data's. With eta = 1,
which is DDPM, a start says next to nothing of the end. The tutorial's numbers are the
mixture of Ex 2.1 and alpha = 0.97; T = 200, the etas and the starts (the middles of
twelve equal parts of N(0, 1)) are chosen here. About 3 seconds.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from refdiff import ddim, plots, schedule, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_2_17_ddim_paths.png", seed=0, n=12, T=200):
    """Draw the figure; return {eta: paths (T+1, n) from x_T to x_0}."""
    law, sched = toys.example_2_1(), schedule.constant(T, 0.97)
    grid, span = np.linspace(-4, 5, 181), (T + 0.5, -0.5, -4, 5)
    levels = list(zip(sched.signal, sched.noise, strict=True))[::-1]
    log_p = np.array([law.noised(*level).logpdf(grid[:, None]) for level in levels])
    start = stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    z = np.random.default_rng(seed).standard_normal((T, n, 1))
    fig, axes = plots.figure(1, 3, 3.2)
    paths = {}
    for eta, ax in zip((0.0, 0.5, 1.0), axes[0], strict=True):
        path = list(ddim.ddim_chain(sched, eta).run(start, law.model, z=z))
        paths[eta] = path = np.array(path)[:, :, 0]
        look = {"extent": span, "aspect": "auto", "cmap": "Greys", "vmax": 0.6}
        ax.imshow(np.exp(log_p).T, origin="lower", **look)
        for x in path.T:
            color = plots.LEARNED if x[-1] < -1 else plots.DATA
            ax.plot(np.arange(T, -1, -1), x, lw=1, color=color)
        crossed = (np.diff(path) < 0).any(axis=0).sum()
        ax.set_title(
            f"eta = {eta:g}: {crossed} of {n - 1} neighbours cross", fontsize=10
        )
        ax.set(xlabel="t", ylabel="x", xlim=(T, -2), ylim=(-4, 5))
        ax.label_outer()
    text = f"Ex 2.1, alpha = 0.97, T = {T}, exact score; red: ends in the left mode"
    fig.suptitle(text, fontsize=10)
    plots.save(fig, out)
    return paths


if __name__ == "__main__":
    main()
