"""Measured orders of convergence, for the tests and for the table in the README.

Run it to print the table: `python tests/orders.py`.
"""

import numpy as np

from refdiff import ode, reversal, samplers, sde, solvers, toys
from refdiff.samplers import DECAY, GAUSSIAN, GBM, MIXED, ORDERS, OU, measured_order
from refdiff.solvers import Process

TABLEAUS = {"Euler": ode.EULER, "midpoint": ode.MIDPOINT}
TABLEAUS |= {"Heun": ode.HEUN, "RK4": ode.RK4}
STEPS = {"Euler-Maruyama": solvers.euler_maruyama_step}
STEPS |= {"stochastic Heun": solvers.stochastic_heun_step}
SAMPLERS = {sampler.name: sampler for sampler in samplers.SAMPLERS}
VP = sde.vp(sde.linear_beta())
MIXTURE = toys.blobs([0.3, 0.5, 0.2], [[-1.5], [0.5], [2.0]], [0.3, 0.5, 0.4])
MEAN, COV = np.array([1.5, -0.5]), np.array([[0.4, 0.1], [0.1, 0.2]])
T_MIN = VP.time(3.0)


def brownian(N, n, seed):
    """Standard normals (N, n, 1)."""
    return np.random.default_rng(seed).standard_normal((N, n, 1))


def coarser(z):
    """The same Brownian path in half as many steps."""
    return (z[0::2] + z[1::2]) / np.sqrt(2)


def on_shared_paths(step, process, exact, N, n, seed, halvings=4):
    """Mean distance at t = 1 to exact(z), at N, N/2, ... steps of the same paths z."""
    fine = brownian(N, n, seed)
    want, errors = exact(fine), []
    for k in reversed(range(halvings + 1)):
        z = fine
        for _ in range(k):
            z = coarser(z)
        grid = np.linspace(0, 1, len(z) + 1)
        *_, x = solvers.paths(step, process, np.ones((n, 1)), grid, z)
        errors.append(np.abs(x - want).mean())
    return errors


def gbm_errors(step, ito=None):
    """dx = -0.3 x dt + 0.8 x dw: x = exp(a t + g w), less g^2 t/2 in Ito's sense."""
    a, g = -0.3, 0.8
    ito = step is solvers.euler_maruyama_step if ito is None else ito
    process = Process(lambda x, t: a * x, lambda x, t: g * x)

    def exact(z):
        w = z.sum(axis=0) / np.sqrt(len(z))
        return np.exp(a - (g**2 / 2 if ito else 0) + g * w)

    return on_shared_paths(step, process, exact, 1024, 8000, 0)


def ou_strong_errors(step):
    """dx = -x dt + 0.7 dw: the solution on a path is that of much finer exact steps.

    Between the finest times the path is not known; its midpoint rule is of order 3/2,
    and is taken 16 times finer than the finest method.
    """
    a, g = -1.0, 0.7
    process = Process(lambda x, t: a * x, lambda x, t: g + 0 * x)

    def exact(z):
        h = 1 / len(z)
        ends = h * np.arange(1, len(z) + 1)
        weight = np.exp(a * (1 - ends + h / 2))[:, None, None]
        return np.exp(a) + g * np.sqrt(h) * (weight * z).sum(axis=0)

    return on_shared_paths(step, process, exact, 4096, 1000, 1, halvings=8)[:5]


def decay_errors(method):
    """Error at t = 6 of Ex 4.8 from x(0) = 2."""
    problem, errors = ode.example_4_8(), []
    for N in (80, 160, 320, 640):
        grid = np.linspace(0, 6, N + 1)
        *_, x = ode.flow(problem.f, np.array([2.0]), grid, TABLEAUS[method])
        errors.append(abs(x[0] - problem.exact(2.0, 6.0)))
    return errors


def flow_errors(method, process=VP, law=MIXTURE, halvings=(32, 64, 128, 256)):
    """Largest error at the end of the probability flow from five points, T to T_MIN."""
    t_min = process.time(3.0)
    x = process.marginal(process.T)[1] * np.linspace(-2, 2, 5)[:, None]
    flow = reversal.probability_flow(process, law.model)
    want = ode.reference_flow(flow.f, x, np.array([process.T, t_min]))[-1]
    errors = []
    for N in halvings:
        grid = reversal.snr_grid(process, N, t_min)
        *_, got = (
            SAMPLERS[method]
            .chain(process, grid)
            .run(x, law.model, rng=np.random.default_rng(0))
        )
        errors.append(np.abs(got - want).max())
    return errors


def law_error(chain, start, want):
    """Error of the exact mean and covariance at the end of a chain."""
    means, covs = chain.law(MEAN, COV, *start)
    mean, cov = want
    return np.abs(means[-1] - mean).max() + np.abs(covs[-1] - cov).max()


def marginal_law(process, t):
    signal, noise = process.marginal(t)
    return signal * MEAN, signal**2 * COV + noise**2 * np.eye(2)


def reversal_errors(method):
    """Weak error of a reversal on Gaussian data, from the exact law at T."""
    start, want = marginal_law(VP, VP.T), marginal_law(VP, T_MIN)
    grids = (reversal.snr_grid(VP, N, T_MIN) for N in (64, 128, 256, 512))
    return [law_error(SAMPLERS[method].chain(VP, g), start, want) for g in grids]


def ou_weak_errors(method):
    """Weak error of the forward process dx = -x/2 dt + 0.7 dw over 0..2."""
    process = sde.ou(1.0, 0.7, T=2.0)
    forward = Process(process.f, lambda x, t: process.g(t))
    errors = []
    for N in (16, 32, 64, 128):
        grid = np.linspace(0, 2, N + 1)
        chain = solvers.chain(STEPS[method], lambda model: forward, grid)
        errors.append(law_error(chain, (MEAN, COV), marginal_law(process, 2.0)))
    return errors


MEASURES = {
    ("deterministic", DECAY): decay_errors,
    ("deterministic", MIXED): flow_errors,
    ("strong", GBM): lambda method: gbm_errors(STEPS[method]),
    ("strong", OU): lambda method: ou_strong_errors(STEPS[method]),
    ("weak", OU): ou_weak_errors,
    ("weak", GAUSSIAN): reversal_errors,
}


def errors_of(claim):
    """Errors of a claim's method at steps that halve."""
    return np.array(MEASURES[claim.kind, claim.problem](claim.method))


def table():
    """Markdown: what is claimed, the last slope measured, and the least error."""
    rows = [
        "| method | kind | problem | order | measured | error |",
        "|---|---" * 3 + "|",
    ]
    for claim in ORDERS:
        errors = errors_of(claim)
        slope = measured_order(errors)[-1]
        rows.append(
            f"| {claim.method} | {claim.kind} | {claim.problem} | {claim.order:g} | "
            f"{slope:.2f} | {errors[-1]:.1e} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
