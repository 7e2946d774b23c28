"""Variance preserving and variance exploding are one process in two coordinates.

Left, the probability flow as VP has it: x over t. Right, the same paths as y = x /
signal over sigma = noise / signal, which is VE. The dots are twenty steps of DDIM,
taken in each of the two by itself: they are the same points, to rounding. Their error,
plain at the scale of x, is lost at that of y. It is no figure of the tutorial, which
says so in words (4.3): VP with beta from 0.1 to 20, the mixture of Ex 4.6, starts at
the middles of eight equal parts of N(0, 1). About a second.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from refdiff import exponential, ode, plots, reversal, sde, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_11_vp_is_ve.png", seed=0, n=8, N=20):
    """Draw it; return signal, sigma (N+1,), DDIM in VP and VE, the flow (N+1, n)."""
    law, vp = toys.example_4_6(), sde.vp(sde.linear_beta())
    ve, fine = sde.rescaled(vp), reversal.snr_grid(vp, 10 * N, vp.time(4.0))
    grid, start = fine[::10], stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    (signal, noise), (wide, spread) = vp.marginal(grid), vp.marginal(fine)
    found = []
    for process, x in ((vp, start), (ve, start / signal[0])):
        chain = exponential.dpm_chain(process, grid)
        found.append(np.array(list(chain.run(x, law.model)))[:, :, 0])
    flow = reversal.probability_flow(vp, law.model)
    smooth = ode.reference_flow(flow.f, start, fine)[:, :, 0]
    gap = np.abs(found[0] / signal[:, None] / found[1] - 1).max()
    fig, (axes,) = plots.figure(1, 2, 4.6)
    views = (
        (fine, smooth, grid, found[0], "t", "x"),
        (spread / wide, smooth / wide[:, None], noise / signal, found[1])
        + ("sigma = noise / signal", "y = x / signal"),
    )
    for ax, (t, line, s, dots, xlabel, ylabel) in zip(axes, views, strict=True):
        for i in range(n):
            color = plots.DATA if i < n / 2 else plots.LEARNED
            ax.plot(t, line[:, i], lw=1, color=color)
            ax.plot(s, dots[:, i], ".", ms=5, color=color)
        ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(t[0], t[-1]))
    axes[0].set_title(f"VP: lines the flow, dots {N} steps of DDIM", fontsize=10)
    axes[1].set(xscale="log", ylim=(-30, 30))
    text = f"VE: DDIM taken there, the same to {gap:.0e} of each y"
    axes[1].set_title(text, fontsize=10)
    plots.save(fig, out)
    return signal, noise / signal, *found, smooth[::10]


if __name__ == "__main__":
    main()
