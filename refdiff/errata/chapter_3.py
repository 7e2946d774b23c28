"""Slips of chapter 3, score matching and Langevin dynamics."""

import numpy as np

from refdiff import langevin, matching, score, toys
from refdiff.errata.record import GRID, STEP, Erratum, Numbers, normal
from refdiff.net import MLP

NET = MLP(1, 1.0, (4,), 0)
PARAMS = np.linspace(-1, 1, NET.size)  # any network will do
LAW = toys.example_3_2().noised(1.0, 0.5)


def _sgld():
    eps, precision = 0.01, 4.0
    contraction = 1 - eps * precision / 2
    printed = 1 / (1 - contraction**2)
    right, truth = langevin.sgld_variance(precision, 0.0, eps), 0.0
    for _ in range(2000):
        truth = contraction**2 * truth + eps
    quantity = "variance kept by eps = 0.01 where the posterior has 0.25"
    return Numbers(quantity, printed, right, truth, "2000 steps of the recursion")


def _equation_3_5():
    h, x = 0.5, np.stack(np.meshgrid(GRID[::20], GRID[::20]), -1)
    points = np.array([[0.3, -1.0], [1.2, 0.4]])
    cell = (20 * STEP) ** 2
    u = (x[..., None, :] - points) / h
    printed = (normal(u, 0, 1).prod(-1).mean(-1) / h).sum() * cell
    right = np.exp(score.kde(points, h).logpdf(x)).sum() * cell
    route = "a density integrates to 1"
    return Numbers("integral of q_h in two dimensions", printed, right, 1.0, route)


def _esm_by_hand():
    """Weights of the law on the grid, the network's output, and the score."""
    x = GRID[:, None]
    s, _ = NET.forward(PARAMS, x, 0.0)
    return np.exp(LAW.logpdf(x)) * STEP, s[:, 0], LAW.score(x)[:, 0]


def _equation_3_7():
    w, s, of_law = _esm_by_hand()
    printed = w @ (s - of_law) ** 2
    right, _ = matching.esm_loss(PARAMS, NET, GRID[:, None], of_law[:, None], w=w)
    truth = 0.5 * w @ s**2 - w @ (s * of_law) + 0.5 * w @ of_law**2
    return Numbers("J_ESM of one network", printed, right, truth, "its expanded square")


def _theorem_3_4():
    sigma, v = 0.5, 1.0  # data N(0, 1)
    x0, z = GRID[::8], GRID[::8]
    w = normal(x0, 0, 1)[:, None] * normal(z, 0, 1) * (8 * STEP) ** 2
    x = x0[:, None] + sigma * z
    density = normal(x, x0[:, None], sigma**2)
    printed = (w * x * (-z / sigma) * density).sum() / (w * x**2).sum()
    right = (w * x * (-z / sigma)).sum() / (w * x**2).sum()
    truth = -1 / (v + sigma**2)
    quantity = "slope of the best linear s, for data N(0, 1), sigma = 1/2"
    return Numbers(quantity, printed, right, truth, "the score of the smoothed density")


def _annealed():
    sigma, eps = langevin.ladder(0.5, 1.0, 3), 0.05
    one = np.eye(1)
    _, covs = langevin.annealed_chain(sigma, eps, 100).law(np.zeros(1), one)
    _, wrong = langevin.annealed_chain(sigma, 1.0, 100).law(np.zeros(1), one)
    truth = 1.0
    for s in sigma[::-1]:
        alpha = eps * (s / sigma[0]) ** 2
        for _ in range(100):
            truth = (1 - alpha / 2 / (1 + s**2)) ** 2 * truth + alpha
    quantity = "variance of samples for data N(0, 1), sigma from 1 to 0.5"
    return Numbers(quantity, wrong[-1, 0, 0], covs[-1, 0, 0], truth, "the recursion")


CHAPTER_3 = (
    Erratum(
        "Section 3.1",
        "SGLD: eta_t ~ N(0, I)",
        "SGLD: eta_t ~ N(0, eps_t I)",
        "With unit noise beside a drift of size eps_t the chain does not settle on the "
        "posterior. Welling and Teh (4) have variance eps_t.",
        _sgld,
    ),
    Erratum(
        "(3.5)",
        "q_h(x) = (1/M) sum (1/h) K((x - x_m) / h)",
        "q_h(x) = (1/M) sum (1/h^d) K((x - x_m) / h)",
        "1/h makes a density of it for d = 1 only.",
        _equation_3_5,
    ),
    Erratum(
        "(3.7)",
        "J_ESM = E ||s - grad log q_h||^2",
        "J_ESM = (1/2) E ||s - grad log q_h||^2",
        "The half of (3.6) is lost. The minimiser is the same, but (3.12) then needs a "
        "half elsewhere.",
        _equation_3_7,
    ),
    Erratum(
        "Thm 3.4",
        "J_DSM = E ||s - grad q(x | x')||^2 / 2 in the proof",
        "J_DSM = E ||s - grad log q(x | x')||^2 / 2",
        "The logarithm is lost in the first line of the last display; (3.10) and the "
        "next line have it. In (3.11) the expectation is over z as well. The J_ESM of the "
        "proof is that of the smoothed q: with p itself, as in (3.6), the identity fails "
        "and the minimum lies elsewhere. And what s predicts is minus the noise, -z / "
        "sigma.",
        _theorem_3_4,
    ),
    Erratum(
        "Section 3.3",
        "annealed importance sampling with alpha_i = sigma_i^2 / sigma_L^2",
        "annealed Langevin dynamics with alpha_i = eps sigma_i^2 / sigma_L^2",
        "Song and Ermon's step factor eps is lost (2e-5 in their paper, where sigma_L is "
        "the least), and nothing is weighed as in importance sampling: it is Langevin "
        "dynamics. Without eps the first step is sigma_1^2 / sigma_L^2 long, and from 1 "
        "to 0.01 the chain diverges.",
        _annealed,
    ),
)
