"""One family of densities, three processes that have it: forward, reverse, and a flow.

Look at the same landscape p_t under all three. The two SDEs rattle down and up it by
noise of their own; the flow has none, its paths never cross, and each quantile of N(0,
1) is carried to nearly that quantile of the data. It is no figure of the tutorial: VP
with beta(t) from 0.1 to 20 (Song 2021), the mixture of Ex 4.6, 400 Euler-Maruyama steps
and twelve paths are chosen. About 2 seconds.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from refdiff import plots, reversal, sde, solvers, toys
from refdiff.ode import RK4

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_08_three_processes.png", seed=0, n=12, N=400):
    """Draw it; return grid (m,), density (61, m), {name: (t, paths (N+1, n))}."""
    law, rng = toys.example_4_6(), np.random.default_rng(seed)
    vp, rise = sde.vp(sde.linear_beta()), np.linspace(0, 1, N + 1)
    forward = solvers.Process(vp.f, lambda x, t: vp.g(t))
    reverse = partial(reversal.reverse, vp)
    flow, steps = partial(reversal.probability_flow, vp), solvers.euler_maruyama_step
    start, data = stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None], law.sample(n, rng)
    cases = {
        "forward SDE": (steps, lambda model: forward, rise, data),
        "reverse SDE": (steps, reverse, rise[::-1], start),
        "probability flow": (solvers.ode_step(RK4), flow, rise[::-1], start),
    }
    grid, coarse = np.linspace(-6, 6, 181), np.linspace(0, 1, 61)
    levels = zip(*vp.marginal(coarse), strict=True)
    density = np.exp([law.noised(*level).logpdf(grid[:, None]) for level in levels])
    fig, (axes,) = plots.figure(1, 3, 3.5)
    found = {}
    for ax, (name, (step, process, t, x)) in zip(axes, cases.items(), strict=True):
        chain = solvers.chain(step, process, t)
        path = np.array(list(chain.run(x, law.model, rng=rng)))[:, :, 0]
        found[name] = t, path
        look = {"aspect": "auto", "cmap": "Greys", "vmax": 0.55, "origin": "lower"}
        ax.imshow(density.T, extent=(0, 1, grid[0], grid[-1]), **look)
        for line in path.T:
            ax.plot(
                t, line, lw=0.9, color=(plots.DATA, plots.LEARNED)[int(line[0] > 0)]
            )
        ax.set(xlabel="t", ylabel="x", xlim=(t[0], t[-1]))
        ax.set_title(f"{name}: t from {t[0]:g} to {t[-1]:g}", fontsize=10)
        ax.label_outer()
    fig.suptitle("VP, Ex 4.6; colour: the side of 0 a path starts on", fontsize=10)
    plots.save(fig, out)
    return grid, density, found


if __name__ == "__main__":
    main()
