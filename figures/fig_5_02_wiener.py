"""The Wiener process: realisations from 0, and p(x, t), which widens as sqrt(t).

Look at the right-hand side: from t = 0.1 to t = 1.6 the density becomes four times as
wide and as low, since its variance is q t. Bars are 20,000 paths at those times, lines
are (5.16). The paths are drawn without error at any step, so a hundred steps are only
there to be seen. The tutorial gives no numbers; chosen: q = 1, xi_0 = 0, T = 1.6 and
fifteen paths. About 1 second.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from refdiff import brownian, plots

HERE = Path(__file__).parent
TIMES = {0.1: "#440154", 0.4: "#31688e", 1.6: "#d1495b"}


def main(out=HERE / "fig_5_02_wiener.png", seed=0, n=20_000, q=1.0, N=96):
    """Draw the figure; return t (N+1,), paths (N+1, n), grid (m,) and {t: density}."""
    t, x = np.linspace(0, 1.6, N + 1), [np.zeros(n)]
    rng, law = np.random.default_rng(seed), brownian.langevin_sde(0.0, q, 1.6)
    for k in range(N):
        z = rng.standard_normal(n)
        x.append(brownian.exact_step(x[-1], t[k], t[k + 1], z, law))
    x, grid = np.array(x), np.linspace(-4, 4, 321)
    density = {s: brownian.wiener_density(grid, s, 0.0, q) for s in TIMES}
    fig = Figure((9.5, 4), layout="constrained")
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    band = 2 * np.sqrt(q * t)
    left.fill_between(t, -band, band, color=plots.DATA, alpha=0.12)
    left.plot(t, x[:, :15], lw=0.8)
    left.set(xlabel="t", ylabel=r"$\xi(t)$", xlim=(0, 1.61), ylim=(-4, 4))
    left.set_title("(a) fifteen realisations, q = 1, and 2 sqrt(q t)", fontsize=10)
    for s, color in TIMES.items():
        at = x[round(s / 1.6 * N)]
        left.axvline(s, color=color, lw=1.2, ls="--")
        right.hist(at, 80, range=(-4, 4), density=True, color=color, alpha=0.35)
        name = f"t = {s:g}: variance {at.var():.3f}"
        right.plot(grid, density[s], color=color, lw=1.2, label=name)
    right.set(xlabel="x", ylabel="p(x, t)", xlim=(-4, 4))
    right.set_title(f"(b) p(x, t), and {n:,} particles", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    plots.save(fig, out)
    return t, x, grid, density


if __name__ == "__main__":
    main()
