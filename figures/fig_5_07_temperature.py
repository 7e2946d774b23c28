"""Ex 5.7: the stationary law p^(tau / sigma^2) for sigma^2 = tau / 2, tau and 2 tau.

Above, particles start from p, Ex 3.2's mixture: look how their widths are soon those of
the black line, the limit, and their shares are not. Only the middle one had nothing to
do; for the others hopping over the ridge takes 1 / rate, and cold (left) it never comes
to pass. Below they start from the limit, and keep it. So p^(tau / sigma^2) is what Langevin
keeps, and need not be what it shows. The tutorial has no figure; the mixture is Ex 3.2's,
chosen: tau = 1, 3,000 particles to t = 3 by 1,500 steps. About 10 seconds.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.linalg import eigh_tridiagonal

from refdiff import brownian, fokker_planck, plots, toys
from refdiff.solvers import euler_maruyama_step, paths

HERE = Path(__file__).parent


def main(out=HERE / "fig_5_07_temperature.png", seed=0, n=3000, T=3.0, N=1500):
    """Draw the figure; return x (m,), {sigma^2: (limit, now (m,), particles, rate)}."""
    law, rng = toys.example_3_2(), np.random.default_rng(seed)
    grid = fokker_planck.Grid((450,), (-4.0,), (5.0,))
    x, dx, t = grid.centres[:, 0], grid.dx[0], np.linspace(0, T, N + 1)
    start, found = grid.probabilities(law.logpdf), {}
    fig, axes = plots.figure(2, 3, 3.2)
    for (top, low), s2 in zip(axes.T, (0.5, 1.0, 2.0), strict=True):
        log_limit = partial(lambda s, x: law.logpdf(x) / s, s2)
        limit = grid.probabilities(log_limit)
        W = fokker_planck.potential_operator(grid, log_limit, s2)
        *_, now = fokker_planck.evolve(start, W, t)
        beside = np.sqrt(W.diagonal(1) * W.diagonal(-1))
        rate = -eigh_tridiagonal(W.diagonal(), beside, eigvals_only=True)[-2]
        process = brownian.ito(lambda x, t: law.score(x), lambda x, t, s=s2: np.sqrt(s))
        cells = [rng.choice(450, n, p=p / p.sum()) for p in (start, limit)]
        y = x[np.array(cells)] + dx * (rng.random((2, n)) - 0.5)
        z = rng.standard_normal((N, 2 * n, 1))
        *_, y = paths(euler_maruyama_step, process, y.reshape(-1, 1), t, z)
        found[s2] = limit / dx, now / dx, y.reshape(2, n), rate
        stay = f"1 / rate = {1 / rate:.1e}" if rate > 1e-10 else "1 / rate over 1e10"
        top.set_title(f"sigma$^2$ = {s2:g} tau, {stay}", fontsize=10)
        rows = (top, now, y[:n], "p"), (low, limit, y[n:], "limit")
        for ax, at, cloud, name in rows:
            title = f"{ax.get_title()}\nfrom {name}: {at[x < 0].sum():.2f} on the left"
            plots.cloud(ax, cloud, title.strip(), plots.DATA, 4.5)
            ax.plot(x, limit / dx, "k-", x, at / dx, "r-", lw=1)
            ax.set(xlim=(-3.5, 4.5), ylim=(0, 1.6))
    names = ["the limit", f"equation, t = {T:g}", f"{n:,} particles, t = {T:g}"]
    lines = [*low.lines, low.patches[0]]
    fig.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    plots.save(fig, out)
    return x, found


if __name__ == "__main__":
    main()
