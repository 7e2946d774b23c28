"""Slips of chapter 5, Brownian motion, the master and the Fokker-Planck equation."""

import numpy as np

from refdiff import brownian, fokker_planck, master, ornstein, reversal, sde
from refdiff.errata.record import Erratum, Numbers, normal
from refdiff.kramers_moyal import expansion, pawula_gap

ZERO, ONE, COV = np.zeros(1), np.ones(1), np.eye(1)  # N(ZERO, COV) is N(0, 1)
RING = np.linspace(-12, 12, 96, endpoint=False)  # so wide that its ends do not matter
DX = RING[1] - RING[0]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def _section_5_1():
    dt, kicks = 0.01, np.eye(100)  # column j: a force of 1 in bin j alone
    gains = brownian.response(0.0, 1.0, kicks, dt)[-1]
    printed = (gains**2).sum()  # of forces N(0, 1), one a bin
    _, right = brownian.langevin_sde(1.0, 1.0).transition(0.0, 1.0)
    s, w = np.polynomial.legendre.leggauss(30)
    truth = (w * np.exp(-(1 - s))).sum() / 2  # exp(-2 (1 - s')) on s' = (1 + s) / 2
    quantity = "Var xi(1) from xi(0) = 0, gamma = q = 1, dt = 0.01"
    return Numbers(quantity, printed, right, truth, "the integral (5.12), to t")


def _theorem_5_3():
    gamma, q, t = 0.75, 2.0, 3.0
    printed = q / (2 * gamma) * np.exp(-2 * gamma * t) * np.expm1(2 * gamma * np.inf)
    right = brownian.equilibrium_variance(gamma, q)
    truth = ornstein.ou_stationary(-gamma * COV, q**0.5 * COV)[0, 0]
    quantity = "Var xi(t) of the integral, gamma = 3/4, q = 2, t = 3"
    return Numbers(quantity, printed, right, truth, "Lyapunov's equation")


def _equation_5_14():
    u, n = 0.5, range(20)
    moments = [brownian.even_moment(k, 1.0) for k in n]
    factorials = np.cumprod([1.0] + [(2 * k - 1) * 2 * k for k in n[1:]])
    right = (np.array(moments) * (-(u**2)) ** np.arange(20) / factorials).sum()
    truth = WEIGHTS @ np.cos(u * NODES)
    quantity = "C(1/2) by its first 20 terms that are not 0, for q / (2 gamma) = 1"
    return Numbers(quantity, sum(moments), right, truth, "quadrature of E cos(u x)")


def _definition_5_2():
    vp = sde.vp(sde.linear_beta(1.0, 1.0))
    drift = reversal.reverse(vp, lambda x, level: -x).f  # data N(0, 1) stay N(0, 1)
    forms = [brownian.ito(drift, lambda x, t, g=g: g) for g in (1.0, 0.5**0.5)]
    printed, right = (
        ornstein.ou_law(-f(ONE, 1)[None], g(ONE, 1) * COV, ZERO, COV, 1.0)[1][0, 0]
        for f, g in forms  # -f, as time falls
    )
    quantity = "Var x(0) of Ex 5.2 from N(0, 1), data N(0, 1), beta = 1"
    return Numbers(quantity, printed, right, 1.0, "the data's own variance")


def _equation_5_23():
    law, x = brownian.langevin_sde(0.5, 1.0, 3.0), np.linspace(-10, 10, 201)
    dx, column, (scale, var) = x[1] - x[0], x[:, None], law.transition(1.0, 3.0)
    first = normal(column, 0, law.transition(0.0, 1.0)[1])
    kernels = np.eye(201) / dx, normal(column, scale * x, var)  # in no time: a delta
    printed, right = (x**2 @ master.compose(K, first, dx)[:, 0] * dx for K in kernels)
    quantity = "Var x(3) from x(0) = 0 by way of t_2 = 1, gamma = 1/2, q = 1"
    return Numbers(quantity, printed, right, 1 - np.exp(-3.0), "the law without a stop")


def _section_5_2():
    to_2, to_1, t = 1.0, 0.5, 2.0
    W = master.generator_matrix(np.array([[0.0, to_1], [to_2, 0.0]]))
    right = master.transition(W, t)[1, 0]
    truth = 1 - master.two_state(1.0, to_2, to_1, t)
    quantity = "chance of state 2 at t = 2 from state 1, rates 1 there and 1/2 back"
    return Numbers(quantity, to_2 * t, right, truth, "the solution for two states")


def _theorem_5_7():
    gamma, q, var = 0.75, 1.0, 1.0
    p = normal(RING, 0, var)
    printed, right = (
        RING**2 @ expansion(p, [-gamma * RING, D2], DX) * DX for D2 in (-q / 2, q / 2)
    )
    moments = ornstein.moment_rates(-gamma * COV, q**0.5 * COV, ZERO, var * COV)
    quantity = "d/dt E x^2 at N(0, 1), for D1 = -3/4 x, D2 = 1/2"
    return Numbers(quantity, printed, right, moments[1][0, 0], "the moments' equation")


def _equation_5_34():
    rate, p = 2.0, normal(RING, 0, 1)
    D = rate / np.cumprod(np.arange(1, 6))
    printed, right = (RING**3 @ expansion(p, c, DX) * DX for c in (D**2 / rate, D))
    truth = rate * (WEIGHTS @ ((NODES + 1) ** 3 - NODES**3))
    quantity = "d/dt E x^3 at N(0, 1), for jumps of 1 at rate 2"
    return Numbers(quantity, printed, right, truth, "the master equation")


def _theorem_5_8():
    rate, D2, D4 = 6.0, 3.0, 0.25
    right = pawula_gap([rate, D2, 0.0, D4], 3) ** 0.5 / 6
    quantity = "the largest D3 that D2 = 3 and D4 = 1/4 allow"
    route = "Poisson of rate 6, E step^m = 6 dt, which has it"
    return Numbers(quantity, (D2 * D4) ** 0.5, right, rate / (1 * 2 * 3), route)


def _definition_5_4():
    rate, K = 2.0, 50
    printed = WEIGHTS @ (rate + rate**0.5 * NODES) ** 3  # drift and diffusion alone
    jumps = master.generator_matrix(rate * np.eye(K, k=-1))
    right = np.arange(K) ** 3 @ master.transition(jumps, 1.0)[:, 0]
    quantity = "E x(1)^3 from x(0) = 0, for jumps of 1 at rate 2"
    return Numbers(quantity, printed, right, rate**3 + 3 * rate**2 + rate, "Touchard")


def _theorem_5_9():
    g, tau = 0.3, 2.0**-20
    process = brownian.ito(lambda x, t: 0.0, lambda x, t: g * x, lambda x, t: g)
    right = process.f(1.0, 0.0)
    truth = np.log(WEIGHTS @ np.exp(2**0.5 * g * NODES))  # x(1) = exp(g w sqrt 2)
    quantity = "growth of E x a unit of time at x = 1, h = 0, g = 0.3 x (tau = 2^-20)"
    return Numbers(quantity, tau * right, right, truth, "log E x(1) of the solution")


def _example_5_4():
    p, A = normal(RING, 0.5, 1), -(RING**2)
    printed, right = (RING @ expansion(p, [D, 1.0], DX) * DX for D in (A, A * RING))
    truth = WEIGHTS @ -((0.5 + NODES) ** 3)
    quantity = "d/dt E x at N(1/2, 1), for A(x) = -x^2, sigma = 1"
    return Numbers(quantity, printed, right, truth, "the mean of the drift A(x) x")


def _equation_5_42():
    k, t = 0.25, 2.0
    omega = np.linspace(-12, 12, 2401)
    truth = np.exp(-k * omega**2 * t).sum() * (omega[1] - omega[0]) / (2 * np.pi)
    right = brownian.wiener_density(ZERO, t, 0.0, 2 * k)[0]
    quantity = "inverse transform of exp(-k omega^2 t) at x = 0, k t = 1/2"
    return Numbers(quantity, (2 * k * t) ** -0.5, right, truth, "quadrature")


def _equation_5_46():
    p, grid = np.array([0.5, 0.25, 0.25]), fokker_planck.Grid((3,), (0.0,), (3.0,))
    W = fokker_planck.operator(grid, lambda x, axis: 0 * x[:, 0], 0.5)
    (S,) = fokker_planck.current(p, W, grid)
    right, truth = -(S[1] - S[0]), (W @ p)[1]
    quantity = "dp/dt of the middle one of three cells 1/2, 1/4, 1/4, for D2 = 1/2"
    return Numbers(quantity, S[1] - S[0], right, truth, "its master equation")


def _theorem_5_10():
    length, drift = 3.0, 2.0
    grid = fokker_planck.Grid((12,), (0.0,), (length,), ring=True)
    W = fokker_planck.operator(grid, lambda x, axis: drift + 0 * x[:, 0], 0.5)
    p = master.stationary(W.toarray())
    right = fokker_planck.current(p, W, grid)[0][0]
    quantity = "current at equilibrium on a ring of length 3, for a drift of 2"
    return Numbers(quantity, 0.0, right, drift / length, "turns a unit of time")


def _equation_5_47():
    grid = fokker_planck.Grid((160,), (-8.0,), (8.0,))
    W = fokker_planck.potential_operator(grid, lambda x: -(x[:, 0] ** 2) / 2, 1.0)
    p = master.stationary(W.toarray()) / grid.dx[0]
    pair = p[[89, 90]]  # cells at 0.95 and 1.05
    printed, right = (np.diff(v)[0] / grid.dx[0] for v in (pair, np.log(pair)))
    quantity = "A(1) of p = N(0, 1) from the equilibrium W, tau = sigma^2 = 1, dx = 0.1"
    return Numbers(quantity, printed, right, -1.0, "the score of p")


CHAPTER_5 = (
    Erratum(
        "Section 5.1",
        "white noise: Gamma(t) ~ N(0, sigma^2) for all t, so that R is a delta function",
        "E Gamma(t) Gamma(t') = q delta(t - t'): averaged over dt it is N(0, q / dt)",
        "With a variance of 1 at each t, R is 1 at lag 0 and 0 elsewhere, and what it "
        "drives stays at rest. Ex 5.1 and Ex 5.2 have the same Gamma(t) ~ N(0, I). The "
        "section's last remark prints Gamma_j(t) for Gamma_j(t').",
        _section_5_1,
    ),
    Erratum(
        "Thm 5.3",
        "proof: xi(t) = integral from 0 to infinity of exp(-gamma (t - t')) Gamma(t') dt'",
        "xi(t) = integral from -infinity to t of exp(-gamma (t - t')) Gamma(t') dt'",
        "As printed the future drives the present. The form in tau is right.",
        _theorem_5_3,
    ),
    Erratum(
        "(5.14)",
        "C(u) = 1 + 0 + (2!/2) [q / (2 gamma)] + 0 + ..., without u",
        "C(u) = 1 + (i u)^2 / 2! (2!/2) [q / (2 gamma)] + ...",
        "The first line drops (i u)^n / n!; without it the sum is of the moments, which "
        "diverges. The other lines have it.",
        _equation_5_14,
    ),
    Erratum(
        "Def 5.2",
        "Ex 5.2, with g = sqrt(beta), is of the form (5.20), where E Gamma Gamma' = 2 delta",
        "g = sqrt(beta / 2), as Gamma dt = sqrt(2) dw",
        "Section 5.1 has noise of strength q, 1 in Ex 5.1 and Ex 5.2; from here on it is "
        "2. Ex 5.7 reckons with 2: its sigma = sqrt(tau) is the sqrt(2 tau) of (3.1).",
        _definition_5_2,
    ),
    Erratum(
        "(5.23)",
        "p(x_3, t_2 | x_2, t_2), there and in the display before it",
        "p(x_3, t_3 | x_2, t_2)",
        "In no time nothing moves, and the integral is p(x_3, t_2 | x_1, t_1). (5.22) is "
        "right. Before Def 5.3 the joint law ends in xi(x_1) for xi(t_1).",
        _equation_5_23,
    ),
    Erratum(
        "Section 5.2",
        "integral of W(x, t | x', t) dt = p(x, t | x', t)",
        "p(x, t + dt | x', t) = W(x | x') dt for x' not x, to first order in dt",
        "A rate's integral grows without bound. At x = x' the limit that defines W is "
        "infinite, but there it cancels from (5.28).",
        _section_5_2,
    ),
    Erratum(
        "Thm 5.7",
        "dp/dt = sum_m [-d^m/dx^m D_m p]",
        "dp/dt = sum_m (-d/dx)^m [D_m p]",
        "The signs differ for even m: noise would contract the density. (5.33) has them "
        "right, but prints p(x, t, x_0, t_0) for p(x, t | x_0, t_0).",
        _theorem_5_7,
    ),
    Erratum(
        "(5.34)",
        "dp/dt = sum_m (1/m!) (-d/dx)^m [D_m p]",
        "dp/dt = sum_m (-d/dx)^m [D_m p]",
        "1/m! is in D_m already. (5.33) and (5.35) are right.",
        _equation_5_34,
    ),
    Erratum(
        "Thm 5.8",
        "D_m^2 <= D_{m-1} D_{m+1} and D_m^2 <= D_{m-2} D_{m+2}",
        "(m! D_m)^2 <= (m-1)! (m+1)! D_{m-1} D_{m+1}, odd m >= 3; even m >= 4 with m-+2",
        "It is m! D_m that are moments: for jumps of 1 at rate 6, D_3^2 = 1 > D_2 D_4 = "
        "3/4. The display also drops odd and even, and the text after it the squares: "
        "D_6 <= D_4 D_8 has other units on either side. The argument survives, as D_4 = "
        "0 still has D_3 = 0, and as all D_2m >= 0, which it does not say.",
        _theorem_5_8,
    ),
    Erratum(
        "Def 5.4",
        "for any Markov process p satisfies the Fokker-Planck equation (5.35)",
        "for a Markov process with D_m = 0 for all m >= 3",
        "Thm 5.8 has just allowed others, such as jumps of 1 at a rate. Cut off at m = 2 "
        "their expansion has the right mean and variance, and no skewness.",
        _definition_5_4,
    ),
    Erratum(
        "Thm 5.9",
        "proof: lim of the integral of h from t to t + tau, tau to 0, is h; so for g' g",
        "lim of (1/tau) times the integral",
        "Without 1/tau the limits are 0. That half of the delta function in (5.39) "
        "counts is Stratonovich's sense, which the chapter does not name: in Ito's, "
        "that of chapter 4, D1 is h, without g' g.",
        _theorem_5_9,
    ),
    Erratum(
        "Ex 5.4",
        "xi' = A(xi) xi + sigma Gamma has -d/dx [A(x) p] in its Fokker-Planck equation",
        "it has -d/dx [A(x) x p]; or the equation is xi' = A(xi) + sigma Gamma",
        "The second is meant, as A(x) is the whole drift in Ex 5.7. The last line also "
        "lacks its equals sign.",
        _example_5_4,
    ),
    Erratum(
        "(5.42)",
        "proof: the inverse transform of exp(-k omega^2 t) is exp(-x^2/(4kt)) / sqrt(2kt)",
        "it is exp(-x^2/(4kt)) / sqrt(4 pi k t), for the transform as defined there",
        "The convolution then needs no 1/sqrt(2 pi): both belong to the transform with "
        "1/sqrt(2 pi) on either way. The two slips cancel, and (5.42) is right.",
        _equation_5_42,
    ),
    Erratum(
        "(5.46)",
        "p(x, t+dt) - p(x, t) = dp/dt and S(x, t) - S(x+dx, t) = dS/dx",
        "p(x, t+dt) - p(x, t) = dp/dt dt and S(x, t) - S(x+dx, t) = -dS/dx dx",
        "With that sign density would pile up. The 'conversation of energy' is "
        "conservation of probability. And (5.44) means D_1 p - d/dx [D_2 p].",
        _equation_5_46,
    ),
    Erratum(
        "Thm 5.10",
        "at equilibrium the current vanishes",
        "at equilibrium dS/dx = 0: S is constant, and 0 if it is 0 somewhere",
        "It vanishes in one dimension between walls, or where p falls off at infinity. "
        "On a ring, or with a turning drift in the plane, it need not (figure 5.5).",
        _theorem_5_10,
    ),
    Erratum(
        "(5.47)",
        "tau dlog p/dx = sigma^2 dW/dx, so log p = W + C",
        "tau dlog p/dx = sigma^2 dlog W/dx, so log p = log W + C",
        "The division by W is forgotten in Ex 5.7, and mended by renaming W to log U. "
        "In general W is p^(tau / sigma^2), normalised (figure 5.7).",
        _equation_5_47,
    ),
)
