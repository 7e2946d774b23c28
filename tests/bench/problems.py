"""The mixtures and the tables of coefficients that ours and all peers run with."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from refdiff import langevin, ode, reversal, solvers
from refdiff.chain import Chain
from refdiff.mixture import Mixture
from refdiff.sde import linear_beta, vp

N, K, TAU = 100_000, 8, 0.005


def mixture(full: bool, K: int = K) -> Mixture:
    """Return K Gaussians on a circle with unequal weights, round or of any shape."""
    rng = np.random.default_rng(K)
    angle = 2 * np.pi * np.arange(K) / K
    means = 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    weights = rng.uniform(0.5, 1.5, K)
    covs = rng.uniform(0.3, 0.5, K)[:, None, None] ** 2 * np.eye(2)
    if full:
        skew = rng.uniform(-0.6, 0.6, (K, 2, 2)) + np.eye(2)
        covs = skew @ covs @ np.swapaxes(skew, 1, 2)
    return Mixture(weights / weights.sum(), means, covs)


@dataclass(frozen=True, eq=False)
class Problem:
    """A chain against a law; what peers need of it is laid out as plain tables.

    rows of `table`: c_x, c_s, c_z of a step x <- c_x x + c_s score + c_z z, or
    a, b, h of a grid of dx/dt = a x + b score
    """

    chain: Chain
    law: Mixture
    table: np.ndarray
    levels: np.ndarray  # (rows, 2): signal, noise
    dtype: type
    full: bool = False
    n: int = N

    def start(self) -> np.ndarray:
        """Return n points of N(0, I) in the problem's precision."""
        return np.random.default_rng(7).standard_normal((self.n, 2)).astype(self.dtype)

    def mixtures(self) -> list[np.ndarray]:
        """Tables of each level's mixture: log weights, means, whitening (w11, w21, w22).

        (rows, K), (rows, K, 2), (rows, K, 3) in the problem's precision; log weights
        include the determinants
        """
        laws = [self.law.noised(*level) for level in self.levels]
        W = np.linalg.inv(np.linalg.cholesky(np.array([law.covs for law in laws])))
        log_w = np.log(self.law.weights) + np.log(W[..., 0, 0] * W[..., 1, 1])
        means = np.array([law.means for law in laws])
        W = np.stack([W[..., 0, 0], W[..., 1, 0], W[..., 1, 1]], axis=-1)
        return [part.astype(self.dtype) for part in (log_w, means, W)]


def _of_chain(chain, law, dtype, **more):
    """First-order steps: their coefficients are the chain's."""
    table = np.column_stack([chain.A[:, 0, 0], chain.b[:, 0], chain.c[:, 0]])
    levels = np.column_stack([chain.signal, chain.noise])
    return Problem(chain, law, table.astype(dtype), levels, dtype, **more)


def langevin_problem(steps: int, dtype: type, full: bool = False) -> Problem:
    """Return Langevin sampling of the mixture, from N(0, I)."""
    chain = langevin.langevin_chain(TAU, steps)
    return _of_chain(chain, mixture(full), dtype, full=full)


def grid(steps: int) -> np.ndarray:
    """Return the falling times of the reverse runs."""
    return np.linspace(1.0, 1e-3, steps + 1)


def reverse_problem(steps: int, dtype: type) -> Problem:
    """Return the reverse VP-SDE by Euler and Maruyama."""
    process = partial(reversal.reverse, vp(linear_beta(0.1, 20.0)))
    chain = solvers.chain(solvers.euler_maruyama_step, process, grid(steps))
    return _of_chain(chain, mixture(False), dtype)


def flow_problem(steps: int, dtype: type) -> Problem:
    """Return the probability flow by Heun's method."""
    sde, t = vp(linear_beta(0.1, 20.0)), grid(steps)
    step = solvers.ode_step(ode.HEUN)
    chain = solvers.chain(step, partial(reversal.probability_flow, sde), t)
    h = np.append(np.diff(t), 0)
    table = np.column_stack([sde.a(t), -sde.g2(t) / 2, h]).astype(dtype)
    levels = np.column_stack(sde.marginal(t))
    return Problem(chain, mixture(False), table, levels, dtype)
