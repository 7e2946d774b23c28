"""What a model evaluation buys: error against evaluations, for every sampler at once.

Look at the slopes (of the last three points), which are the orders, and at the left
ends, where they say little: at 8 evaluations Euler is ahead of Heun, EDM and
DPM-Solver-2, and the multistep method of all; from 16 on RK4 is. Right, by their exact
law on Gaussian data: where the score is exact, a corrector only repairs steps, and the
ancestral sampler is better at equal cost up to 128. It is no figure of the tutorial:
VP, beta 0.1 to 20, three Gaussians, N(1.5, 0.4), grids even in log SNR. 5 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import ode, plots, reversal, sde, toys
from refdiff.samplers import SAMPLERS

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_10_orders.png", seed=0, budgets=(8, 16, 32, 64, 128, 256)):
    """Draw the figure; return {name: (evaluations (m,), errors (m,))}, all samplers."""
    vp, one = sde.vp(sde.linear_beta()), toys.blobs([1.0], [[1.5]], np.sqrt(0.4))
    law = toys.blobs([0.3, 0.5, 0.2], [[-1.5], [0.5], [2.0]], [0.3, 0.5, 0.4])
    t_min, x = vp.time(3.0), np.linspace(-2, 2, 5)[:, None]
    flow = reversal.probability_flow(vp, law.model)
    end = ode.reference_flow(flow.f, x, np.array([vp.T, t_min]))[-1]
    first, last = (one.noised(*vp.marginal(t)) for t in (vp.T, t_min))
    fig, (axes,) = plots.figure(1, 2, 4.8)
    found = {}
    for sampler, mark in zip(SAMPLERS, "ovsD^<>PovsD^", strict=True):
        asked, errors = [], []
        for budget in budgets:
            grid = reversal.snr_grid(vp, budget // sampler.evaluations, t_min)
            chain = sampler.chain(vp, grid)
            asked.append(chain.evaluations)
            if sampler.random:
                mean, cov = chain.law(one.mean, one.cov, first.mean, first.cov)
                off = abs(mean[-1] - last.mean).max() + abs(cov[-1] - last.cov).max()
            else:
                *_, got = chain.run(x, law.model)
                off = np.abs(got - end).max()
            errors.append(off)
        found[sampler.name] = np.array(asked), np.array(errors)
        slope = np.polyfit(np.log(asked[-3:]), np.log(errors[-3:]), 1)[0]
        name = f"{slope:.1f}  {sampler.name}"
        axes[int(sampler.random)].loglog(asked, errors, f"{mark}-", ms=4, label=name)
    axes[0].set(title="probability flow of a mixture", ylabel="error of the end point")
    axes[1].set(title="reversals on Gaussian data", ylabel="error of mean + variance")
    for ax in axes:
        ax.set_xlabel("model evaluations")
        ax.set_xticks(budgets, [str(b) for b in budgets])
        ax.minorticks_off()
        ax.legend(fontsize=8, frameon=False, loc="lower left", title="slope, method")
    plots.save(fig, out)
    return found


if __name__ == "__main__":
    main()
