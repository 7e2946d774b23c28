"""Estimating the gradient of an expectation whose law moves with the parameters.

The bound is E_q f(z) with f = log p(x, z) - log q(z | x) and q = N(mean, diag(std^2)).
Three estimators of its gradient in (mean, std): the naive swap, which is wrong; the
score function, which needs only values of f; and the reparameterised one, which needs
f's gradient and has far less variance.

z, eps and the results are (L, k), one row a sample, to be averaged over L; mean and std
(k,). `eps` and z belong together: z = mean + std eps.
"""

import numpy as np

from refdiff._check import Array
from refdiff.vae import Decoder


def log_q_grad(eps: Array, std: Array) -> tuple[Array, Array]:
    """Gradient of log q(z) in mean and std, at z = mean + std eps held fixed.

    eps / std,  (eps^2 - 1) / std
    Source: Chan v3 (1.15)
    Test: test_estimators.py::test_log_q_gradient
    """
    return eps / std, (eps**2 - 1) / std


def naive_grad(eps: Array, std: Array) -> tuple[Array, Array]:
    """Gradient as it would be if it commuted with E_q: it averages to zero, always.

    E_q grad f = E_q[-grad log q] = 0, as log p does not move with (mean, std)
    Source: Chan v3 (1.13), (1.15)
    Test: test_estimators.py::test_the_naive_swap_has_mean_zero
    """
    d_mean, d_std = log_q_grad(eps, std)
    return -d_mean, -d_std


def score_function_grad(f: Array, eps: Array, std: Array) -> tuple[Array, Array]:
    """Gradient of E_q f from f's values alone: f grad log q.

    f (L,): values f(z), which may hold -log q(z) as its own gradient averages to zero
    Source: Kingma14 2.2; Chan v3 (1.15) third line
    Test: test_estimators.py::test_both_estimators_agree_with_the_exact_gradient
    """
    d_mean, d_std = log_q_grad(eps, std)
    return f[:, None] * d_mean, f[:, None] * d_std


def reparameterised_grad(df: Array, eps: Array) -> tuple[Array, Array]:
    """Gradient of E_q f through the samples z = mean + std eps: grad f(z), grad f(z) eps.

    df (L, k): gradient of f in z, where f does not move with (mean, std) otherwise
    Source: Chan v3 (1.20)
    Test: test_estimators.py::test_both_estimators_agree_with_the_exact_gradient
    """
    return df, df * eps


def log_det(std: Array) -> Array:
    """Log of |det dz/d eps| for z = mean + std eps: the sum of log std.

    std (..., k)  ->  (...)
    Source: Chan v3 Ex 1.7, Ex 1.8, (1.17)
    Test: test_estimators.py::test_the_jacobian_turns_q_into_the_law_of_eps
    """
    return np.log(std).sum(axis=-1)


def entropy_grad(std: Array) -> tuple[Array, Array]:
    """Gradient of E_q[-log q] in mean and std, exact for every sample: 0 and 1/std.

    Source: Chan v3 Ex 1.8, (1.20)
    Test: test_estimators.py::test_entropy_gradient
    """
    return np.zeros_like(std), 1 / std


def decoder_grad(x: Array, z: Array, decoder: Decoder) -> tuple[Array, Array]:
    """Gradient of log p(x, z) in the decoder's C and v, averaged over samples z of q.

    r = cov^-1 (x - C z - v):  (1/L) sum r z^T  and  (1/L) sum r
    x (d,), z (L, k)  ->  (d, k), (d,)
    Source: Chan v3 (1.14)
    Test: test_estimators.py::test_the_decoders_gradient_commutes_with_the_expectation
    """
    r = np.linalg.solve(decoder.cov, (x - z @ decoder.C.T - decoder.v).T).T
    return r.T @ z / len(z), r.mean(axis=0)
