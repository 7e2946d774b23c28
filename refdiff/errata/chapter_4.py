"""Slips of chapter 4, stochastic differential equations and their solvers."""

from itertools import count

import numpy as np

from refdiff import gaussian, langevin, ode, reversal, schedule, sde, solvers
from refdiff.errata.record import Erratum, Numbers
from refdiff.predictors import (
    pc_chain,
    reverse_step,
    smld_ancestral_step,
    smld_forward_step,
    smld_reverse_step,
    vp_predictor,
)
from refdiff.probe import tabulate

ZERO, ONE, COV = np.zeros(1), np.ones(1), np.eye(1)  # N(ZERO, COV) is N(0, 1)
SCHED = schedule.constant(100, 0.95)  # beta = 0.05, as in Ex 4.6


def _example_4_1():
    decay = ode.example_4_1(1.0)
    *_, last = ode.flow(decay.f, ONE, np.linspace(0, 1, 11), ode.EULER)
    printed = float(decay.exact(1.0, 1.0))
    quantity = "x_10 of the recursion, for beta = 1, dt = 0.1, x_0 = 1"
    return Numbers(quantity, printed, last[0], 0.95**10, "the power of its factor")


def _variance(process, dt, steps):
    """Variance at the end of Euler-Maruyama steps from 0."""
    grid = np.linspace(0, steps * dt, steps + 1)
    chain = solvers.chain(solvers.euler_maruyama_step, lambda model: process, grid)
    return chain.law(ZERO, COV, ZERO, 0 * COV)[1][-1, 0, 0]


def _section_4_2():
    dt, steps = 0.01, 100
    wiener = solvers.Process(lambda x, t: 0 * x, lambda x, t: 1.0)
    right = _variance(wiener, dt, steps)
    printed = steps * dt**2  # each dw = xi dt with xi ~ N(0, 1) has variance dt^2
    _, truth = sde.ou(0.0, 1.0).transition(0.0, 1.0)
    quantity, route = (
        "Var w(1), summed in steps of dt = 0.01",
        "the law of Brownian motion",
    )
    return Numbers(quantity, printed, right, truth, route)


def _example_4_4():
    alpha, beta, dt = 1.0, 0.1, 0.1
    process = solvers.Process(lambda x, t: -alpha / 2 * x, lambda x, t: beta)
    printed, right = (_variance(process, h, 10) for h in (1.0, dt))
    kick = beta * np.sqrt(dt) * (1 - alpha * dt / 2) ** np.arange(10)
    quantity, route = "Var x(1) from x(0) = 0, dt = 0.1", "what is left of each kick"
    return Numbers(quantity, printed, right, (kick**2).sum(), route)


def _section_4_3():
    vp = sde.vp(sde.linear_beta(1.0, 1.0))

    def normal_score(x, level):  # data N(0, 1) stay N(0, 1)
        return -x

    def printed_f(x, t):
        return -vp.g2(t) / 2 - vp.g2(t) * normal_score(x, t)

    def mean(f):
        return ode.reference_flow(f, 2 * ONE, np.array([1.0, 0.0]), 1e-13, 1e-14)[-1, 0]

    right = mean(reversal.reverse(vp, normal_score).f)
    signal, _ = vp.marginal(1.0)
    joint = np.array([[1.0, signal], [signal, 1.0]])
    truth = gaussian.condition(np.zeros(2), joint, [1], 2 * ONE)[0][0]
    quantity = "E[x(0) | x(1) = 2] for data N(0, 1) and beta = 1"
    route = "conditioning the joint Gaussian"
    return Numbers(quantity, mean(printed_f), right, truth, route)


def _half_score_step(xt, t, score, z, sched):
    """Return (4.17) as it is printed, which has half of the score."""
    return reverse_step(xt, t, score / 2, z, sched)


def _equation_4_17():
    printed, right = (
        pc_chain(vp_predictor(SCHED, step)).law(ZERO, COV)[1][-1, 0, 0]
        for step in (_half_score_step, reverse_step)
    )
    truth = 1.0
    for _ in range(100):
        truth = (1 - 0.05) ** 2 / 0.95 * truth + 0.05
    quantity = "variance after 100 steps, beta = 0.05, for data N(0, 1)"
    return Numbers(quantity, printed, right, truth, "the recursion")


def _equation_4_18():
    sigma = np.linspace(0.5, 2.0, 11)

    def at(i):
        return lambda x, z, model: smld_forward_step(x, i, z, sigma)

    chain = tabulate([at(i) for i in range(1, 11)])
    right = chain.law(ZERO, COV)[1][-1, 0, 0]  # which starts as N(0, 1)
    truth = 1 + sigma[-1] ** 2 - sigma[0] ** 2
    quantity = "Var x_N for data N(0, 1), sigma from 0.5 to 2"
    route = "the variances' sum, data and noise"
    return Numbers(quantity, sigma[-1] ** 2, right, truth, route)


def _equation_4_21():
    sigma = np.array([0.5, 1.0])
    printed, right = (
        step(ZERO, 1, ZERO, ONE, sigma)[0] ** 2
        for step in (smld_reverse_step, smld_ancestral_step)
    )
    given_x0 = np.array([[0.25, 0.25], [0.25, 1.0]])  # of x_{i-1} and x_i
    truth = gaussian.condition(np.zeros(2), given_x0, [1], ONE)[1][0, 0]
    quantity = "variance of the noise from sigma = 1 to 0.5"
    return Numbers(quantity, printed, right, truth, "conditioning the joint Gaussian")


def _example_4_8():
    f, exact = ode.example_4_8()
    asked = count()

    def printed_f(x, t):  # every fourth question is k_1, with its arguments exchanged
        return f(x, t) if next(asked) % 4 else f(t, x)

    grid, start = np.linspace(0, 1, 1001), 2 * ONE
    *_, printed = ode.flow(printed_f, start, grid, ode.RK4)
    *_, right = ode.flow(f, start, grid, ode.RK4)
    quantity, route = (
        "x(1) from x(0) = 2, by 1000 steps of RK4",
        "the solution, 5 - 4 log 2",
    )
    return Numbers(quantity, printed[0], right[0], exact(2.0, 1.0), route)


def _box_4_4():
    r, beta = 0.1, 0.05
    data, var = 2 * ONE, COV / 4

    def correct(t):
        now = SCHED.level(t)
        eps = r * now.noise**2
        return lambda x, z, model: langevin.langevin_step(x, model(x, now), eps, z)

    overwritten = tabulate([correct(t) for t in range(100, 0, -1)])
    corrected = pc_chain(vp_predictor(SCHED), 1, r)
    printed, right = (
        chain.law(data, var)[0][-1, 0] for chain in (overwritten, corrected)
    )

    def score(x, t):
        left = 0.95**t
        return (2 * left**0.5 - x) / (1 - 0.75 * left)

    truth = 0.0
    for t in range(100, 0, -1):
        truth = (truth + beta * score(truth, t)) / (1 - beta) ** 0.5
        truth += r * (1 - 0.95 ** (t - 1)) * score(truth, t - 1)
    quantity = "mean of 100 steps, beta = 0.05, M = 1, for data N(2, 1/4)"
    return Numbers(quantity, printed, right, truth, "the recursion of the mean")


def _section_4_4():
    eps, truth = 0.01, 0.0
    printed = eps / (1 - (1 - eps) ** 2)
    right = langevin.stationary_cov(COV, eps)[0, 0]
    for _ in range(2000):
        truth = (1 - eps) ** 2 * truth + 2 * eps
    quantity = "variance that corrections of eps = 0.01 keep, for p = N(0, 1)"
    return Numbers(quantity, printed, right, truth, "2000 steps of the recursion")


CHAPTER_4 = (
    Erratum(
        "Ex 4.1",
        "x(t) = exp(-beta t / 2) is exactly the same as the recursion's path",
        "they agree to O(dt): x_i = (1 - beta dt / 2)^i x_0",
        "The recursion is Euler's method, of first order. (4.3) also takes x(0) = 1. "
        "And the limiting solution that the text then derives is that for t to "
        "infinity: at t = 0 there is only the start.",
        _example_4_1,
    ),
    Erratum(
        "Section 4.2",
        "xi(t) ~ N(0, I) and dw = xi(t) dt",
        "E xi(t) xi(t')^T = delta(t - t') I, so that dw ~ N(0, dt I)",
        "With a variance of 1 at each t the integral of xi would vanish with dt. "
        "Section 4.3 adds the delta function, but keeps N(0, I) beside it.",
        _section_4_2,
    ),
    Erratum(
        "Ex 4.4",
        "x_i = (1 - alpha/2) x_{i-1} + beta z",
        "x_i = (1 - alpha dt/2) x_{i-1} + beta sqrt(dt) z",
        "As printed dt is 1, which is coarse: the recursion keeps a variance of "
        "beta^2 / (alpha - alpha^2/4) = 0.0133, the equation beta^2 / alpha = 0.01. "
        "Ex 4.3 and Ex 4.5 leave out sqrt(dt) as well, which there only changes the "
        "unit of time.",
        _example_4_4,
    ),
    Erratum(
        "Section 4.3",
        "f(x, t) = -beta(t) / 2, substituted in (4.11)",
        "f(x, t) = -beta(t) x / 2",
        "The x is lost in the sentence; (4.14) and (4.16) have it.",
        _section_4_3,
    ),
    Erratum(
        "(4.17)",
        "x_{i-1} = [x_i + (beta_i / 2) score] / sqrt(1 - beta_i) + sqrt(beta_i) z",
        "x_{i-1} = [x_i + beta_i score] / sqrt(1 - beta_i) + sqrt(beta_i) z",
        "(4.16) and the display before (4.17) have the whole of beta, as have Song et "
        "al.; it keeps N(0, 1) exactly. Ex 4.7 and (4.23) repeat the half. In Ex 4.7, "
        "with the exact score and N = 100, the samples on either side of 0 then have "
        "the means 4.0 and -4.0 where 2.98 and -2.98 are right, and a standard "
        "deviation of 1.95 where 1.01 is; more steps of the same beta make it worse, and "
        "finer ones do not help.",
        _equation_4_17,
    ),
    Erratum(
        "(4.18)",
        "Var x_i = sigma_i^2, as Var x_{i-1} = sigma_{i-1}^2",
        "Var x_i = Var x_0 + sigma_i^2 - sigma_0^2",
        "The variance of the data is forgotten: sigma_i^2 is that of the noise alone, "
        "if the data carry sigma_0^2 of it already.",
        _equation_4_18,
    ),
    Erratum(
        "(4.21)",
        "identical to SMLD's reverse update: noise variance sigma_i^2 - sigma_{i-1}^2",
        "SMLD's: noise variance sigma_{i-1}^2 (sigma_i^2 - sigma_{i-1}^2) / sigma_i^2",
        "(4.21) is Song et al.'s reverse-diffusion sampler. Their ancestral sampler of "
        "SMLD, drawn from the posterior of the chain (4.18), has less noise. Both "
        "discretise the SDE (4.20). Chapter 3's own update, annealed Langevin, is a "
        "third: the variance of its noise is twice the factor of its score.",
        _equation_4_21,
    ),
    Erratum(
        "Ex 4.8",
        "no initial value; RK4, which follows, has k_1 = f(x_i, t_i) and k_2 = f(t, x)",
        "x(0) = 2, say; k_1 = f(t_i, x_i)",
        "Without a start the solution is t^2 + 2t + 2 - 2 (t+1) log(t+1) + c (t+1) for "
        "any c; from x(0) = 2, c is 0. Taken to the letter, RK4 solves dx/dt = "
        "5/6 f(t, x) + 1/6 f(x, t), however small the step. It also counts i = 1..N "
        "where Euler's method has i = 0..N-1.",
        _example_4_8,
    ),
    Erratum(
        "Box 4.4 inference",
        "correction: x_{i-1} = x_i + eps_i s(x_i, i) + sqrt(2 eps_i) z",
        "correction: x_{i-1} <- x_{i-1} + eps s(x_{i-1}, i-1) + sqrt(2 eps) z",
        "As printed Algorithm 1 puts a correction of the old point in the place of the "
        "prediction, M times anew, so that no prediction survives. Its loop i = "
        "N-1..0 never uses x_N and ends at x_{-1}; i = N..1 is meant. And x_N is drawn "
        "from N(0, I), not equal to it.",
        _box_4_4,
    ),
    Erratum(
        "Section 4.4",
        "SMLD's correction: x + eps grad s(x, sigma_i) + sqrt(eps) z",
        "SMLD's correction: x + eps s(x, sigma_i) + sqrt(2 eps) z",
        "s is the gradient already. The gradient of s is a matrix, for N(0, 1) the "
        "constant -1, with which the correction drifts away; with s in its place, "
        "noise of size sqrt(eps) keeps half of the variance. (4.24) has both right. As "
        "in Algorithm 1, it is the predicted point that should be corrected.",
        _section_4_4,
    ),
)
