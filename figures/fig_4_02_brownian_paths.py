"""Brownian motion by unit steps, x_i = x_{i-1} + a z, and its band of two deviations.

Look how the band opens as the root of time, and how paths wander out of it and back:
95% of them are inside at any one time, and yet many fewer have been inside all along.
The tutorial's numbers are a = 0.05 and x_0 = 0 (the red dot); 200 steps, eight paths
drawn and 5000 counted are chosen here. Under a second.
"""

from pathlib import Path

import numpy as np

from refdiff import plots, sde, solvers

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_02_brownian_paths.png", seed=0, n=5000, N=200, a=0.05):
    """Draw the figure; return paths (N+1, n), band, and two shares inside, (N+1,)."""
    law, t = sde.ou(0.0, a, float(N)), np.arange(N + 1.0)
    brownian = solvers.Process(law.f, lambda x, t: law.g(t))
    z = np.random.default_rng(seed).standard_normal((N, n))
    steps = solvers.paths(solvers.euler_maruyama_step, brownian, np.zeros(n), t, z)
    x, band = np.array(list(steps)), 2 * law.marginal(t)[1]
    within = np.abs(x) <= band[:, None]
    now, always = within.mean(axis=1), np.logical_and.accumulate(within).mean(axis=1)
    fig, axes = plots.figure(2, 1, 6.0)
    fig.set_size_inches(8.5, 6.5)
    top, low = axes[:, 0]
    top.fill_between(t, -band, band, color=plots.DATA, alpha=0.12)
    top.plot(t, band, t, -band, color=plots.DATA, lw=1.2)
    top.plot(t, x[:, :8], lw=0.9)
    top.plot(0, 0, "o", ms=7, color="red", zorder=3, clip_on=False)
    text = "band: 2 a sqrt(t); the red dot is the start"
    top.set_title(f"Ex 4.3, dx = a dw, a = {a:g}, unit steps; {text}", fontsize=10)
    top.set(ylabel="x", xlim=(0, N))
    low.plot(t, now, color=plots.DATA, label=f"inside at t: {now[-1]:.3f} at the end")
    name = f"inside all the time so far: {always[-1]:.3f} at the end"
    low.plot(t, always, color=plots.LEARNED, label=name)
    low.axhline(0.9545, color="black", lw=0.8, ls="--", label="normal law, 0.954")
    low.set(xlabel="t", ylabel="share of paths", xlim=(0, N), ylim=(0.5, 1.02))
    low.set_title(f"of {n:,} paths", fontsize=10)
    low.legend(fontsize=9, frameon=False, loc="center right")
    plots.save(fig, out)
    return x, band, now, always


if __name__ == "__main__":
    main()
