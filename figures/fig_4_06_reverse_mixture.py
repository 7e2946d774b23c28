"""Ex 4.7: Ex 4.6 reversed, from N(0, 1) back to the mixture, with the exact score.

Look where the paths decide. The side of 0 that a path is on is its last one for 59% of
them at the start, for 84% at step 43, where p_i gets its second mode, and for 96% at
step 20. The step is (4.17) with beta in front of the score; the tutorial prints beta/2,
and figure 4.9 shows what that does. The tutorial's numbers are beta_i = 0.05 and the
mixture; N = 100 and ten paths drawn are chosen here. About 2 seconds.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from refdiff import plots, predictors, schedule, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_06_reverse_mixture.png", seed=0, n=5000, N=100):
    """Draw it; return grid (m,), density (N+1, m), paths (N+1, n), from i = N."""
    law, rng = toys.example_4_6(), np.random.default_rng(seed)
    sched, grid = schedule.constant(N, 0.95), np.linspace(-6.5, 6.5, 261)
    levels = zip(sched.signal[::-1], sched.noise[::-1], strict=True)
    density = np.exp([law.noised(*level).logpdf(grid[:, None]) for level in levels])
    chain = predictors.pc_chain(predictors.vp_predictor(sched))
    x = chain.run(rng.standard_normal((n, 1)), law.model, rng=rng)
    x = np.array(list(x))[:, :, 0]
    fig = Figure((9.5, 4.2), layout="constrained")
    ratio = {"width_ratios": [1.2, 5, 1.2], "wspace": 0.03}
    left, ax, right = fig.subplots(1, 3, sharey=True, gridspec_kw=ratio)
    extent = (N + 0.5, -0.5, grid[0], grid[-1])
    ax.imshow(density.T, extent=extent, origin="lower", aspect="auto", cmap="Blues")
    i = np.arange(N, -1, -1)
    for path in x[:, :10].T:
        ax.plot(i, path, lw=2, color="white", alpha=0.6)  # to be seen on blue
        ax.plot(i, path, lw=0.9, color=plots.LEARNED)
        ax.plot(N, path[0], ".", ms=7, color="black", clip_on=False, zorder=3)
    ax.set(xlabel="step i, from N down to 0", ylim=(grid[0], grid[-1]))
    ax.set_title(f"Ex 4.7: beta = 0.05, {min(n, 10)} paths over $p_i(x)$", fontsize=10)
    for side, k in ((left, 0), (right, N)):
        look = {"density": True, "orientation": "horizontal", "color": plots.LEARNED}
        side.hist(x[k], 50, range=(grid[0], grid[-1]), alpha=0.4, **look)
        side.plot(density[k], grid, color="black", lw=1)
        side.set(xlabel="density", xlim=(0, 0.47))
        side.set_title(f"{n:,} at $i = {N - k}$", fontsize=10)
    left.set_ylabel("x")
    plots.save(fig, out)
    return grid, density, x


if __name__ == "__main__":
    main()
