"""Three estimators of the bound's gradient: what they average to, how they scatter.

Look left first: the naive swap of (1.15) averages to zero wherever it is asked; the two
others lie on the exact gradient. Then right: one sample of the score-function estimator
scatters up to a hundred times as much as a reparameterised one. The estimators are the
tutorial's; p(x | z) = N(z, 0.5^2) at x = 1, whose posterior is N(0.8, 0.2), is chosen.
Moments are by Gauss-Hermite quadrature, which is exact. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import estimators, plots, vae

HERE = Path(__file__).parent
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
LOOKS = {
    "naive swap": {"color": "black", "ls": "--", "zorder": 3},
    "score function": {"color": plots.LEARNED},
    "reparameterised": {"color": plots.EXACT},
}
X, DECODER = np.ones(1), vae.Decoder(np.eye(1), np.zeros(1), np.array([[0.25]]))


def elbo(q):
    """Exact bound at x of q = (mean, std)."""
    return vae.elbo(X, q[:1], np.diag(q[1:] ** 2), DECODER)


def moments(q, i):
    """Gradient of the bound in q[i]; mean and variance of each estimator's sample."""
    h, w, eps = 1e-5 * np.eye(2)[i], WEIGHTS / WEIGHTS.sum(), NODES[:, None]
    z, std = vae.reparameterise(q[:1], q[1:], eps), q[1:]
    f = vae.log_decoder(X, z, 0.5) + vae.log_decoder(0.0, z, 1.0)  # log p(x, z)
    f = f - vae.log_decoder(0.0, eps, 1.0) + estimators.log_det(std)  # - log q(z | x)
    path = estimators.reparameterised_grad((X - z) / 0.25 - z, eps)[i]
    path = path + estimators.entropy_grad(std)[i]
    of_f = estimators.score_function_grad(f, eps, std)[i]
    sample = np.stack([estimators.naive_grad(eps, std)[i], of_f, path])[:, :, 0]
    mean = sample @ w
    return (elbo(q + h) - elbo(q - h)) / 2e-5, mean, (sample.T - mean).T ** 2 @ w


def main(out=HERE / "fig_1_09_gradient_variance.png", seed=0, m=61):
    """Draw it; return [(grid, exact (m,), means (m, 3), variances (m, 3))] by parameter."""
    means = np.stack([np.linspace(-1, 2.5, m), np.full(m, np.sqrt(0.2))], axis=1)
    stds = np.stack([np.zeros(m), np.geomspace(0.1, 1.2, m)], axis=1)
    cases = (means, "mean", "std² = 0.2"), (stds, "std", "mean = 0")
    fig, axes = plots.figure(2, 2, 3.6)
    rows = []
    for i, (qs, par, rest) in enumerate(cases):
        found = zip(*(moments(q, i) for q in qs), strict=True)
        exact, *found = (np.array(a) for a in found)
        rows.append((qs[:, i], exact, *found))
        left, right = axes[i]
        left.plot(qs[:, i], exact, color="0.75", lw=5, label="exact")
        left.set_title(f"d bound / d {par} at {rest}: mean", fontsize=10)
        right.set_title(f"d bound / d {par} at {rest}: variance", fontsize=10)
        for k, (name, look) in enumerate(LOOKS.items()):
            left.plot(qs[:, i], found[0][:, k], label=name, **look)
            right.semilogy(qs[:, i], found[1][:, k], **look)
        left.set(xlabel=f"{par} of q(z | x)", ylabel="mean of a sample")
        right.set(xlabel=f"{par} of q(z | x)", ylabel="variance of a sample")
    axes[0, 0].legend(fontsize=8, frameon=False)
    plots.save(fig, out)
    return rows


if __name__ == "__main__":
    main()
