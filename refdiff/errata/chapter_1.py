"""Slips of chapter 1, the variational autoencoder."""

import numpy as np

from refdiff import gaussian, vae
from refdiff.errata.record import GRID, STEP, Erratum, Numbers, normal


def _example_1_3():
    c, v, s2, z = 2.0, 0.5, 0.09, 0.7
    printed = normal(z, c * GRID + v, s2).sum() * STEP
    right = normal(GRID, c * z + v, s2).sum() * STEP
    return Numbers(
        "integral of p(x | z) over x, for c = 2",
        printed,
        right,
        1.0,
        "a density integrates to 1",
    )


def _example_1_5():
    x, mean, s = np.array([0.3, -1.0, 2.0]), np.array([0.1, -0.8, 1.5]), 0.4
    fit = -((x - mean) ** 2).sum() / (2 * s**2)
    printed = -0.5 * gaussian.LOG_2PI - np.log(s) + fit
    one, still = vae.Decoder(np.eye(3), np.zeros(3), s**2 * np.eye(3)), np.zeros((3, 3))
    right = vae.reconstruction(x, mean, still, one)
    truth = np.log(normal(x, mean, s**2)).sum()
    return Numbers(
        "log p(x | z) in three dimensions",
        printed,
        right,
        truth,
        "a sum of one-dimensional densities",
    )


def _example_1_6():
    sigma, t = 1.7, 1e-8
    truth = -gaussian.entropy(np.array([[sigma**2]]))
    printed, right = (vae.elbo_surface(t, sigma * t, sigma) for t in (1.0, t))
    return Numbers(
        "largest bound per dimension; E log p(x)",
        printed,
        right,
        truth,
        "minus the entropy",
    )


def _equation_1_34():
    mean, sigma = np.array([0.3, -0.4, 1.0]), 0.5
    printed = 0.5 * (3 * sigma**2 - 3 + mean @ mean - 2 * np.log(sigma))
    q = normal(GRID, mean[:, None], sigma**2)
    log_ratio = (GRID**2 - ((GRID - mean[:, None]) / sigma) ** 2) / 2 - np.log(sigma)
    truth = (q * log_ratio).sum() * STEP
    right = vae.prior_kl(mean, sigma)
    return Numbers(
        "KL(q || N(0, I)) in three dimensions",
        printed,
        right,
        truth,
        "quadrature, one coordinate at a time",
    )


def _equation_1_35():
    x, mean, std, s = 1.2, 0.6, 0.5, 0.8  # the decoder is f(z) = z
    one = vae.Decoder(np.eye(1), np.zeros(1), s**2 * np.eye(1))
    q = np.array([x]), np.array([mean]), np.array([[std**2]])
    kl = vae.prior_kl(q[1], std)
    printed, right = vae.reconstruction(*q, one) + kl, vae.reconstruction(*q, one) - kl
    q_z = normal(GRID, mean, std**2)
    joint = normal(x, GRID, s**2) * normal(GRID, 0, 1)
    truth = (q_z * np.log(np.maximum(joint, 1e-300) / np.maximum(q_z, 1e-300))).sum()
    quantity = f"bound on log p(x) = {vae.log_likelihood(q[0], one):.4f}"
    return Numbers(
        quantity, printed, right, truth * STEP, "quadrature of the definition (1.4)"
    )


CHAPTER_1 = (
    Erratum(
        "Ex 1.3",
        "p(x | z) = N(z | c x + v, s^2 I)",
        "p(x | z) = N(x | c z + v, s^2 I)",
        "x and z change places; as printed it is no density of x unless |c| = 1. Ex 1.5 "
        "uses it rightly.",
        _example_1_3,
    ),
    Erratum(
        "Ex 1.5",
        "-1/2 log 2 pi - log s - ...",
        "-d/2 log 2 pi - d log s - ...",
        "x has d coordinates; d = 1 is meant or the d is lost. Ex 1.6 has it.",
        _example_1_5,
    ),
    Erratum(
        "Ex 1.6",
        "the bound is largest at t = 1, s = sigma",
        "its supremum is t -> 0 along s = sigma t, and is E log p(x)",
        "The two terms are maximised one after the other; together they have no such "
        "optimum. The stated point lies half a nat per dimension below the supremum, "
        "and its model has variance 2 sigma^2. That a bound need not reach the "
        "likelihood is true, but this example does not show it.",
        _example_1_6,
    ),
    Erratum(
        "(1.34)",
        "(sigma^2 d - d + ||mu||^2 - 2 log sigma) / 2",
        "(sigma^2 d - d + ||mu||^2 - 2 d log sigma) / 2",
        "d is lost in the last term; (1.26) and (1.35) have it.",
        _equation_1_34,
    ),
    Erratum(
        "(1.35)",
        "ELBO = reconstruction + KL",
        "ELBO = reconstruction - KL",
        "With the plus it is no bound, and maximising it drives the code away from the "
        "prior. (1.10) and (1.32) have the minus. With (1.31) and (1.33) it also drops "
        "-d/2 log(2 pi sigma_dec^2) under an equals sign, which matters as soon as "
        "sigma_dec is learned.",
        _equation_1_35,
    ),
)
