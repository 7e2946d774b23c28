"""Slips of chapter 2, denoising diffusion probabilistic models."""

from math import erf

import numpy as np

from refdiff import elbo, forward, gaussian, losses, schedule
from refdiff.ddpm import mu_from_eps
from refdiff.errata.record import Erratum, Numbers, expected_log_ratio, normal
from refdiff.targets import EPS

CONSTANT = schedule.constant(50, 0.9)


def _theorem_2_1():
    b2, a = 0.19, np.linspace(-0.999, 0.999, 2000)
    gap = b2 / (1 - a**2) - 1  # the limit's variance less 1
    truth = float((np.sign(gap[1:]) != np.sign(gap[:-1])).sum())
    limits = [forward.iterated_law(s * 0.9, b2**0.5, 10_000)[1] for s in (1, -1)]
    right = float(np.isclose(limits, 1, rtol=1e-12, atol=0).sum())
    return Numbers(
        "number of a with limit N(0, 1), for b^2 = 0.19",
        1.0,
        right,
        truth,
        "sign changes of the limit's variance less 1",
    )


def _theorem_2_3():
    alpha, x0 = (0.8, 0.6), np.array([1.3])
    A, var = np.array([1.0, 0.7, 0.9]), np.array([1.0, 0.25, 0.64])
    reverse = elbo.Reverse(A[:, None, None], np.zeros((3, 1)), var[:, None, None])
    printed, right = (
        elbo.elbo_terms_forward(x0, reverse, schedule.from_alpha(alpha), printed).bound
        for printed in (True, False)
    )
    truth = expected_log_ratio(x0, alpha, A, 0 * A, var)
    quantity, route = "E log p(x0, x1, x2) / q(x1, x2 | x0)", "Gauss-Hermite quadrature"
    return Numbers(quantity, printed, right, truth, route)


def _posterior_by_conditioning(t):
    """Covariance of (x_{t-1}, x_t) given x_0, conditioned on x_t: the variance left."""
    n2, a = CONSTANT.noise2[t - 1], 0.9
    cov = np.array([[n2, a**0.5 * n2], [a**0.5 * n2, a * n2 + 1 - a]])
    return gaussian.condition(np.zeros(2), cov, [1], np.ones(1))


def _equation_2_26():
    ab = CONSTANT.alpha_bar
    printed = 0.1 * (1 - np.sqrt(ab[1])) / (1 - ab[2])
    truth = _posterior_by_conditioning(2)[1][0, 0]
    right = forward.sigma_q(2, CONSTANT)[0] ** 2
    return Numbers(
        "sigma_q^2(2) for alpha = 0.9",
        printed,
        right,
        truth,
        "conditioning the joint Gaussian",
    )


def _straight_line():
    one = np.ones(1)
    right = forward.q_posterior(one, one, 2, CONSTANT)[0][0]
    of_xt = _posterior_by_conditioning(2)[0][0]
    s1, s2 = CONSTANT.signal[1:3]
    truth = of_xt + s1 - of_xt * s2  # E x_1 = s1 x0 + of_xt (x_2 - s2 x0)
    return Numbers(
        "sum of the coefficients of x_t and x_0, t = 2",
        1.0,
        right,
        truth,
        "conditioning the joint Gaussian",
    )


def _equation_2_28():
    x, z, a, b = 0.4, 0.7, 0.9, 0.9**4  # x_t, x_0, alpha_t, alpha_bar_{t-1} at t = 5
    mean, var = forward.q_posterior(np.array([z]), np.array([x]), 5, CONSTANT)

    def exponent(y):
        forwards = (x - np.sqrt(a) * y) ** 2 / (2 * (1 - a))
        return forwards + (y - np.sqrt(b) * z) ** 2 / (2 * (1 - b))

    far = mean[0] + np.sqrt(var[0])
    rise = exponent(far) - exponent(mean[0])
    truth = np.log(normal(far, mean[0], var[0]) / normal(mean[0], mean[0], var[0]))
    return Numbers(
        "log density one sigma_q from the mean",
        rise,
        -rise,
        truth,
        "the density (2.24)",
    )


def _equation_2_44():
    alpha, x0 = (0.9, 0.9), np.array([0.8])
    sched = schedule.from_alpha(alpha)
    reverse = elbo.gaussian_reverse(np.ones(1), np.array([[0.25]]), sched)
    printed = -float(losses.weight_elbo(1, sched)[0])  # any error at t = 1 costs this
    right = elbo.elbo_terms(x0, reverse, sched).bound
    truth = expected_log_ratio(x0, alpha, *(part.ravel() for part in reverse))
    quantity = "bound for T = 2, with x0_hat exact and variance beta at t = 1"
    return Numbers(quantity, printed, right, truth, "Gauss-Hermite quadrature")


def _figure_2_11():
    z = np.linspace(-1, 1, 200_001)  # midpoints of the integral of N(0, 1)
    truth = normal((z[1:] + z[:-1]) / 2, 0, 1).sum() * (z[1] - z[0])
    sigma = forward.sigma_q(20, CONSTANT)[0]
    printed, right = (erf(radius / sigma / 2**0.5) for radius in (sigma**2, sigma))
    quantity = "share of draws of x_19 within the radius, alpha = 0.9"
    return Numbers(quantity, printed, right, truth, "summation of the density")


def _box_2_4():
    mean = np.ones(1)
    for t in range(1, 11):
        mean = forward.q_step(mean, t, CONSTANT)[0]
    right = forward.q_sample(np.ones(1), 10, np.zeros(1), CONSTANT)[0]
    printed = CONSTANT.alpha_bar[10]
    return Numbers(
        "E x_10 for x_0 = 1, alpha = 0.9", printed, right, mean[0], "ten steps of (2.1)"
    )


def _section_2_5():
    c = np.linspace(0, 3, 301)  # eps_hat = c E[eps | x_t], for x0 ~ N(0, 1/4)
    s2, n2 = CONSTANT.alpha_bar[2:], CONSTANT.noise2[2:]
    known = n2 / (s2 / 4 + n2)  # share of the noise's variance that x_t explains
    weight = [
        losses.target_weight(EPS, losses.weight_elbo, t, CONSTANT)[0]
        for t in range(2, 51)
    ]
    bound = -(weight * (1 + (c[:, None] ** 2 - 2 * c[:, None]) * known)).sum(axis=1)
    printed, right = c[bound.argmin()], c[bound.argmax()]
    return Numbers(
        "best multiple of the best prediction, in 0..3",
        printed,
        right,
        1.0,
        "E[eps | x_t] is the best prediction",
    )


def _box_2_5():
    t, x = 5, np.ones(1)
    s, n = CONSTANT.signal[t], CONSTANT.noise[t]
    x0_hat = s * 0.25 / (s**2 * 0.25 + n**2) * x  # for x0 ~ N(0, 1/4)
    eps_hat = n / (s**2 * 0.25 + n**2) * x
    printed, right = (mu_from_eps(x, t, y, CONSTANT)[0] for y in (x0_hat, eps_hat))
    before = CONSTANT.alpha_bar[t - 1] / 4 + CONSTANT.noise2[t - 1]
    cov = np.sqrt(0.9) * before
    truth = cov / (0.9 * before + 0.1)  # regression of x_{t-1} on x_t
    return Numbers(
        "E[x_4 | x_5 = 1] for x0 ~ N(0, 1/4)",
        printed,
        right,
        truth,
        "regression of x_4 on x_5",
    )


def _theorem_2_8():
    A, cov = np.array([[1.0, 0.5], [0.0, 2.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])
    printed = np.trace(np.eye(2) + A @ cov @ np.linalg.inv(A))
    right = np.trace(gaussian.marginal(A, A[0], A[0], cov, np.eye(2))[1])
    truth = 2 + ((A @ gaussian.cholesky(cov)) ** 2).sum()
    return Numbers(
        "tr Cov[A x + b + e]",
        printed,
        right,
        truth,
        "the square of A times a root of Lambda^-1",
    )


def _equation_2_60():
    t, x, eps = 10, np.ones(1), np.ones(1)
    ab, n = CONSTANT.alpha_bar[t], CONSTANT.noise[t]
    printed = ((x - (1 - ab) / n * eps) / np.sqrt(ab))[0]
    x0 = (x - n * eps) / CONSTANT.signal[t]
    truth = forward.q_posterior(x0, x, t, CONSTANT)[0][0]
    right = mu_from_eps(x, t, eps, CONSTANT)[0]
    return Numbers(
        "mean of x_9 given x_10 = 1, eps = 1",
        printed,
        right,
        truth,
        "(2.25) at the x0 that eps means",
    )


CHAPTER_2 = (
    Erratum(
        "Thm 2.1",
        "a = sqrt(alpha) is necessary",
        "|a| = sqrt(alpha): a = -sqrt(alpha) has the same limit",
        "Only b^2 = 1 - a^2 and |a| < 1 are necessary. The positive root is a choice, "
        "the one that keeps the sign of the data.",
        _theorem_2_1,
    ),
    Erratum(
        "Thm 2.3",
        "sum of E KL(q(x_t | x_{t-1}) || p(x_t | x_{t+1})), x_{t-1} and x_{t+1} from q",
        "sum of E log q(x_t | x_{t-1}) / p(x_t | x_{t+1}), all three from q",
        "Given both neighbours x_t does not follow q(x_t | x_{t-1}), so (2.14) is not "
        "the bound, and Thm 2.4 is no rewriting of it. For linear-Gaussian chains it is "
        "short by sum_t beta[t] sqrt(alpha[t+1]) tr(C^-1 A), with p(x_t | x_{t+1}) = "
        "N(A x_{t+1} + b, C).",
        _theorem_2_3,
    ),
    Erratum(
        "(2.26)",
        "sigma_q^2 = (1 - alpha[t]) (1 - sqrt(alpha_bar[t-1])) / (1 - alpha_bar[t])",
        "sigma_q^2 = (1 - alpha[t]) (1 - alpha_bar[t-1]) / (1 - alpha_bar[t])",
        "A root too many; (2.32) at the end of the proof is right, as is Ho et al. (7).",
        _equation_2_26,
    ),
    Erratum(
        "Fig 2.9",
        "the mean (2.25) lies on the straight line through x_t and x_0",
        "it lies in their span; the coefficients' sum is below 1 for t > 1",
        "The sum is (sqrt(alpha[t]) + sqrt(alpha_bar[t-1])) / (1 + sqrt(alpha_bar[t])), "
        "which is 1 at t = 1 only.",
        _straight_line,
    ),
    Erratum(
        "(2.28)",
        "q proportional to exp{+(...)^2 / (2 (1 - alpha)) + ...}",
        "q proportional to exp{-(...)^2 / (2 (1 - alpha)) - ...}",
        "The minus of the exponent is lost; the minimiser that follows is right.",
        _equation_2_28,
    ),
    Erratum(
        "Fig 2.11",
        "the radius of the Gaussian is sigma_q^2(t)",
        "its radius, one standard deviation, is sigma_q(t)",
        "Text and caption take the variance for a radius. The text also finds it fairly "
        "large at t = T; it is never above 1 - alpha[t].",
        _figure_2_11,
    ),
    Erratum(
        "Thm 2.7",
        "the sum over t = 1..T with weight 1 / (2 sigma_q^2(t))",
        "the sum over t = 2..T, and log p(x_0 | x_1) with a variance of its own",
        "In (2.44) sigma_q(1) = 0 makes the first weight infinite; (2.46) hides it by writing "
        "'proportional' for a logarithm, and drops the constants. Ho et al. give the "
        "last step a decoder of its own. The same holds for the bound of section 2.5.",
        _equation_2_44,
    ),
    Erratum(
        "Box 2.4 training",
        "x_t = alpha_bar[t] x_0 + sqrt(1 - alpha_bar[t]) eps",
        "x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) eps",
        "A root is lost; the law on the line above it is right.",
        _box_2_4,
    ),
    Erratum(
        "Section 2.5",
        "training is argmin of the ELBO",
        "training is argmax of the ELBO, or argmin of its negative",
        "The bound has the minus in front, so its argmin is the worst prediction.",
        _section_2_5,
    ),
    Erratum(
        "Box 2.5 inference",
        "calculate x0_hat, then use eps_hat",
        "calculate eps_hat",
        "The update (2.52) needs the predicted noise; Ho et al. compute it.",
        _box_2_5,
    ),
    Erratum(
        "Thm 2.8",
        "Cov y = L^-1 + A Lambda^-1 A^-1",
        "Cov y = L^-1 + A Lambda^-1 A^T",
        "As printed it need not be symmetric. The lines that use it have A^T, and so "
        "has Bishop (2.115).",
        _theorem_2_8,
    ),
    Erratum(
        "(2.60)",
        "DDPM in the letters of (2.59), where alpha has become alpha_bar",
        "DDPM with the alpha of one step, alpha_bar[t] / alpha_bar[t-1]",
        "Section 2.6 gives alpha_t a second meaning, and (2.60) uses the first beside "
        "(2.59) in the second. The section's product for alpha_bar also starts at i = 0, which is harmless with alpha_0 = 1.",
        _equation_2_60,
    ),
)
