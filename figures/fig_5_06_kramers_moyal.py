"""Kramers-Moyal coefficients from data: a diffusion, whose D3 and D4 go, and jumps.

Look at the last panel: D4 of Ornstein-Uhlenbeck's is only there because dt is not 0, and
falls in proportion to it; that of Poisson's stays, and by Pawula's theorem all beyond it.
The price of a small dt is the error of D1, which grows as 1 / sqrt(dt). Dashed lines are
what the exact law of a step gives at that dt, bars two standard errors. No figure of the
tutorial; chosen: gamma = q = 1, Poisson's rate 2, 300,000 steps each. 3 seconds.
"""

from math import factorial
from pathlib import Path

import numpy as np

from refdiff import brownian, kramers_moyal, plots

HERE, DTS = Path(__file__).parent, (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
COLORS = {0.2: plots.DATA, 0.02: plots.LEARNED}


def main(out=HERE / "fig_5_06_kramers_moyal.png", seed=0, n=300_000, rate=2.0):
    """Draw the figure; return {(m, dt): (Estimate of OU, its bias, that of Poisson)}."""
    rng, sde, found = np.random.default_rng(seed), brownian.langevin_sde(1.0, 1.0), {}
    edges, std = np.linspace(-1.5, 1.5, 16), brownian.equilibrium_variance(1, 1) ** 0.5
    for dt in DTS:
        x, z = std * rng.standard_normal(n), rng.standard_normal(n)
        step = brownian.exact_step(x, 0.0, dt, z, sde) - x
        jumps = kramers_moyal.poisson_steps(n, rate, dt, rng)
        scale, var = sde.transition(0.0, dt)
        for m in (1, 2, 3, 4):
            ou = kramers_moyal.coefficient(x, step, dt, m, edges)
            drop = (scale - 1) * ou.centre
            biased = kramers_moyal.gaussian_coefficient(drop, var, dt, m)
            found[m, dt] = ou, biased, kramers_moyal.coefficient(0 * x, jumps, dt, m)
    fig, axes = plots.figure(2, 3, 3.2)
    middle, last = axes[:, 2]
    for m, ax in enumerate(axes[:, :2].flat, 1):
        limit = (-edges, 0 * edges + 0.5, 0 * edges, 0 * edges)[m - 1]
        ax.plot(edges, limit, "k-", lw=1, label="dt to 0")
        for dt, color in COLORS.items():
            (ou, biased, jump), k = found[m, dt], factorial(m)
            ax.errorbar(ou.centre, ou.value, 2 * ou.error, fmt=".", color=color)
            ax.plot(ou.centre, biased, "--", lw=1, color=color, label=f"dt = {dt:g}")
            middle.errorbar(m, k * jump.value, 2 * k * jump.error, fmt=".", color=color)
        ax.set_title(f"$D_{m}$ of Ornstein-Uhlenbeck, against x", fontsize=10)
    axes[0, 1].legend(fontsize=8, frameon=False, loc="upper center")
    middle.axhline(rate, color="black", lw=1)
    middle.set_title(f"m! $D_m$ of Poisson, rate {rate:g}, against m", fontsize=10)
    middle.set_xticks((1, 2, 3, 4))
    last.loglog(DTS, [found[4, dt][0].value[7] for dt in DTS], "o-", label="OU, x = 0")
    last.loglog(DTS, [found[4, dt][2].value[0] for dt in DTS], "s-", label="Poisson")
    last.axhline(rate / 24, color="black", lw=1, label="rate / 4!")
    last.set_title("$D_4$ against dt", fontsize=10)
    last.legend(fontsize=8, frameon=False)
    plots.save(fig, out)
    return found


if __name__ == "__main__":
    main()
