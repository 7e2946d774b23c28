"""Ex 4.6: the DDPM forward process from a mixture, with the densities at both ends.

Look where the two ridges meet, at step 43: the parts of p_i stay one wide, so it has
two modes while 3 signal > 1. By then a quarter of the paths has been on both sides of
0, and at the end three quarters. The tutorial's numbers are beta_i = 0.05 and the
mixture 0.5 N(-3, 1) + 0.5 N(3, 1); N = 100 and ten paths drawn are chosen. 2 seconds.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from refdiff import forward, plots, schedule, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_05_forward_mixture.png", seed=0, n=2000, N=100):
    """Draw the figure; return grid (m,), density (N+1, m) and paths (N+1, n)."""
    law, rng = toys.example_4_6(), np.random.default_rng(seed)
    sched, grid = schedule.constant(N, 0.95), np.linspace(-6.5, 6.5, 261)
    levels = zip(sched.signal, sched.noise, strict=True)
    density = np.exp([law.noised(*level).logpdf(grid[:, None]) for level in levels])
    chain = forward.q_chain(sched)
    x = np.array(list(chain.run(law.sample(n, rng), law.model, rng=rng)))[:, :, 0]
    fig = Figure((9.5, 4.2), layout="constrained")
    ratio = {"width_ratios": [1.2, 5, 1.2], "wspace": 0.03}
    left, ax, right = fig.subplots(1, 3, sharey=True, gridspec_kw=ratio)
    extent = (-0.5, N + 0.5, grid[0], grid[-1])
    ax.imshow(density.T, extent=extent, origin="lower", aspect="auto", cmap="Blues")
    for path in x[:, :10].T:
        ax.plot(path, lw=2, color="white", alpha=0.6)  # an outline, to be seen on blue
        ax.plot(path, lw=0.9, color=plots.LEARNED)
        ax.plot(0, path[0], ".", ms=7, color="black", clip_on=False, zorder=3)
    ax.set(xlabel="step i", ylim=(grid[0], grid[-1]))
    ax.set_title(f"Ex 4.6: beta = 0.05, {min(n, 10)} paths over $p_i(x)$", fontsize=10)
    for side, i in ((left, 0), (right, N)):
        look = {"density": True, "orientation": "horizontal", "color": plots.LEARNED}
        side.hist(x[i], 50, range=(grid[0], grid[-1]), alpha=0.4, **look)
        side.plot(density[i], grid, color="black", lw=1)
        side.set(xlabel="density", xlim=(0, 0.47))
        side.set_title(f"{n:,} at $i = {i}$", fontsize=10)
    left.set_ylabel("x")
    plots.save(fig, out)
    return grid, density, x


if __name__ == "__main__":
    main()
