"""Three estimators of the bound's gradient: what they average to, how they scatter.

Look left: the naive swap of (1.15) averages to zero wherever it is asked; the others lie
on the exact gradient. Right: one sample of the score-function estimator scatters up to
a hundred times as much as a reparameterised one. The estimators are the tutorial's; the
numbers are chosen. Moments are exact, by Gauss-Hermite quadrature. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import estimators, plots, vae

HERE, ONE, ZERO = Path(__file__).parent, np.ones(1), np.zeros(1)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
LOOKS = {"naive swap": "k--", "score function": "C3-", "reparameterised": "C2."}


def moments(mean, std):
    """Mean and variance of one draw's gradient in (mean, std), each (3, 2)."""
    eps, std, w = NODES[:, None], np.array([std]), WEIGHTS / WEIGHTS.sum()
    z = vae.reparameterise(np.array([mean]), std, eps)
    log_p = vae.log_decoder(ONE, z, 0.5) + vae.log_decoder(ZERO, z, 1.0)
    log_q = vae.log_decoder(ZERO, eps, 1.0) - estimators.log_det(std)
    naive = estimators.naive_grad(eps, std)
    of_f = estimators.score_function_grad(log_p - log_q, eps, std)
    path = estimators.reparameterised_grad((1 - z) / 0.25 - z, eps)
    path = np.array(path) + np.array(estimators.entropy_grad(std))[:, None]
    samples = np.array([naive, of_f, path])[..., 0]
    first = samples @ w
    return first, (samples - first[..., None]) ** 2 @ w


def main(out=HERE / "fig_1_09_gradient_variance.png", seed=0, m=61):
    """Draw it; return [(grid, exact (m,), means (m, 3), variances (m, 3))] by parameter."""
    grids = np.linspace(-1, 2.5, m), np.geomspace(0.1, 1.2, m)
    truth = 4 - 5 * grids[0], 1 / grids[1] - 5 * grids[1]
    at = [(a, 0.6) for a in grids[0]], [(0.0, b) for b in grids[1]]
    names = ("mean", "std = 0.6"), ("std", "mean = 0")
    fig, axes = plots.figure(2, 2, 3.6)
    rows = []
    for i, (grid, exact) in enumerate(zip(grids, truth, strict=True)):
        both = np.array([moments(*point) for point in at[i]])[..., i].swapaxes(0, 1)
        rows.append((grid, exact, *both))
        axes[i, 0].plot(grid, exact, color="0.8", lw=6, label="exact")
        for ax, curves, what in zip(axes[i], both, ("mean", "variance"), strict=True):
            for curve, (name, look) in zip(curves.T, LOOKS.items(), strict=True):
                ax.plot(grid, curve, look, lw=2, markevery=4, ms=8, label=name)
            ax.set_title("d bound / d {} at {}".format(*names[i]), fontsize=10)
            ax.set(xlabel=f"{names[i][0]} of q(z | x)", ylabel=f"{what} of one draw")
        axes[i, 1].set_yscale("log")
    axes[0, 0].legend(fontsize=8, frameon=False)
    fig.suptitle("p(x | z) = N(z, 0.25), x = 1; posterior N(0.8, 0.2)", fontsize=10)
    plots.save(fig, out)
    return rows


if __name__ == "__main__":
    main()
