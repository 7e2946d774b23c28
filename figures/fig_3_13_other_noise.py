"""Denoising score matching with noise that is not Gaussian, on four points.

Look at the scores: Gaussian noise pulls back harder the farther out, Laplace noise with
one constant force and a jump at each point, Student's less the farther out. Denoising
matching is explicit matching of each up to a constant: along a line of parameters DSM
varies as its label says, and DSM - ESM not at all. The tutorial has Gaussian noise only;
points, deviation 0.4, nu = 3, a line through two random networks are chosen. 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import kernels, net, plots
from refdiff.matching import dsm_loss, esm_loss

HERE, MLP = Path(__file__).parent, net.MLP(1, 1.0, (8,), 1)
POINTS, STD = np.array([-1.6, -1.0, 0.2, 1.5])[:, None], 0.4
CASES = kernels.NORMAL, kernels.LAPLACE, kernels.student(3)


def _rule(n):  # Gauss nodes, n in each panel; panels grow outwards, kinks are edges
    edges = np.unique(np.append(np.sinh(np.linspace(-32, 32, 201)), POINTS))
    half, (u, p) = np.diff(edges)[:, None] / 2, np.polynomial.legendre.leggauss(n)
    return (edges[:-1, None] + half * (1 + u)).reshape(-1, 1), (half * p).ravel()


def main(out=HERE / "fig_3_13_other_noise.png", seed=0, m=41):
    """Draw the figure; return x, {name: (density, score)} and {name: (DSM, ESM)}."""
    a, b = 0.7 * np.random.default_rng(seed).standard_normal((2, MLP.size))
    curves, losses, s = {}, {}, np.linspace(-1, 2, m)
    grid, line = np.linspace(-4, 4, 1601)[:, None], a + s[:, None] * (b - a)
    (x, w), (y, v) = _rule(16), _rule(24)  # DSM and ESM, each with nodes of its own
    x0, at = np.repeat(POINTS, len(x), 0), np.tile(x, (4, 1))
    fig, (axes,) = plots.figure(1, 3, 3.8)
    colors, var = (plots.DATA, plots.LEARNED, plots.EXACT), np.array([1, 2, 3])
    for k, color, sigma in zip(CASES, colors, STD / np.sqrt(var), strict=True):
        z, (log_q, score) = (at - x0) / sigma, kernels.smoothed(grid, POINTS, sigma, k)
        curves[k.name] = np.exp(log_q), score[:, 0]
        for ax, value in zip(axes, curves[k.name], strict=False):
            ax.plot(grid, value, color=color, lw=1.2, label=k.name)
        share = np.exp(k.logpdf(z))[:, 0] * np.tile(w / sigma / 4, 4)
        log_q, score = kernels.smoothed(y, POINTS, sigma, k)
        dsm = [dsm_loss(p, MLP, x0, z, sigma, w=share, kernel=k)[0] for p in line]
        esm = [esm_loss(p, MLP, y, score, w=v * np.exp(log_q))[0] for p in line]
        losses[k.name] = dsm, esm = np.array([dsm, esm])
        text = f"{k.name}: DSM from {dsm.min():.1f} to {dsm.max():.1f}"
        axes[2].plot(s, dsm - esm, color=color, label=text)
    axes[0].set(xlabel="x", ylabel="smoothed density", ylim=(0, 0.65))
    axes[1].set(xlabel="x", ylabel="its score")
    axes[2].set(xlabel="s, along the line", ylabel="DSM - ESM", ylim=(1.8, 2.4))
    for ax in axes:
        ax.legend(fontsize=8, frameon=False, loc="upper right")
    fig.suptitle(f"four points, noise of standard deviation {STD}", fontsize=10)
    plots.save(fig, out)
    return grid[:, 0], curves, losses


if __name__ == "__main__":
    main()
