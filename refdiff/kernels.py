"""Noise that need not be Gaussian: product kernels, and a data set smoothed by them.

Denoising score matching holds for any q(x | x') with a density. A Kernel is the law of
one coordinate of the noise, at scale 1; x = x' + sigma u with u of independent
coordinates. All arrays are (..., d); what is not finite is refused by name.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, above_zero, positive, vectors


class Kernel(NamedTuple):
    """Law of one coordinate u of the noise: log density, its derivative, draws.

    logpdf(u), score(u) elementwise; sample(shape, rng); kinks: where score jumps
    """

    name: str
    logpdf: Callable[[Array], Array]
    score: Callable[[Array], Array]
    sample: Callable[[tuple, np.random.Generator], Array]
    kinks: tuple


NORMAL = Kernel(
    "normal",
    lambda u: -0.5 * u**2 - 0.5 * np.log(2 * np.pi),
    lambda u: -u,
    lambda shape, rng: rng.standard_normal(shape),
    (),
)
LAPLACE = Kernel(
    "Laplace",
    lambda u: -np.abs(u) - np.log(2),
    lambda u: -np.sign(u),
    lambda shape, rng: rng.laplace(size=shape),
    (0.0,),
)


def student(nu: float) -> Kernel:
    """Kernel of Student's t: heavy tails, of which the score falls to zero far out.

    log p = -(nu+1)/2 log(1 + u^2/nu) + const,  score = -(nu+1) u / (nu + u^2)
    nu > 2, so that the noise has a variance, nu / (nu - 2)
    ValueError if nu is not above 2.
    Source: definition
    Test: test_matching.py::test_kernels_are_their_laws
    """
    positive(nu=nu)
    if nu <= 2:
        raise ValueError(f"nu must be above 2; got {nu}")
    a = nu / 2
    if (
        a > 20
    ):  # Stirling's series of the ratio: the logarithms' difference loses digits
        tail = -1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5) + 17 / (14336 * a**7)
        top = tail - 0.5 * math.log(2 * math.pi)
    else:
        top = math.lgamma(a + 0.5) - math.lgamma(a) - 0.5 * math.log(nu * math.pi)
    return Kernel(
        f"Student t, nu = {nu:g}",
        lambda u: top - (nu + 1) / 2 * np.log1p(u**2 / nu),
        lambda u: -(nu + 1) * u / (nu + u**2),
        lambda shape, rng: rng.standard_t(nu, shape),
        (),
    )


def conditional_score(x: Array, x0: Array, sigma: float, kernel: Kernel) -> Array:
    """Gradient in x of log q(x | x0), the target of denoising score matching.

    kernel.score((x - x0) / sigma) / sigma;  for NORMAL it is -z / sigma
    x, x0 (..., d)  ->  (..., d)
    Source: Chan v3 (3.10); Vincent11 4.2
    Test: test_matching.py::test_the_conditional_score_is_the_gradient
    """
    (x, x0), (sigma,) = vectors(x=x, x0=x0), above_zero(sigma=sigma)
    return kernel.score((x - x0) / sigma) / sigma


def smoothed(
    x: Array, points: Array, sigma: float, kernel: Kernel
) -> tuple[Array, Array]:
    """Log density and score of a data set smoothed by a kernel.

    q(x) = (1/M) sum_m prod_j k((x_j - points[m]_j) / sigma) / sigma
    score = sum_m p(m | x) conditional_score(x, points[m])
    x (..., d), points (M, d)  ->  (...), (..., d)
    Source: Chan v3 (3.5); Vincent11 4.2
    Test: test_matching.py::test_the_smoothed_score_is_the_gradient
    """
    (x, points), (sigma,) = vectors(x=x, points=points), above_zero(sigma=sigma)
    if sigma.ndim or points.ndim != 2 or not len(points):
        raise ValueError(
            f"points must be (M, d) and sigma a number; got shapes {points.shape} "
            f"and {sigma.shape}"
        )
    u = (x[..., None, :] - points) / sigma
    log_each = (kernel.logpdf(u) - np.log(sigma)).sum(axis=-1)
    top = log_each.max(axis=-1, keepdims=True)
    share = np.exp(log_each - top)
    total = share.sum(axis=-1, keepdims=True)
    score = np.einsum("...m,...md->...d", share / total, kernel.score(u) / sigma)
    return (top + np.log(total / len(points)))[..., 0], score
