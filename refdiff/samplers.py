"""Every sampler of a diffusion on a grid of times, side by side, and what order it has.

A sampler's chain(sde, grid) goes down a falling grid of times from T, where it starts at
sde.start(z), to a last one above 0 (Heun, RK4 and stochastic Heun ask the model there);
`denoised` then adds the step to x0_hat. The orders are claims, each measured by
a test: the error falls as (number of steps)^-order on grids even in log SNR.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from refdiff import edm, exponential, ode, reversal, solvers
from refdiff._check import Array
from refdiff.chain import Chain
from refdiff.predictors import Predictor, pc_chain
from refdiff.probe import tabulate
from refdiff.sde import SDE
from refdiff.targets import x0_from_score


class Sampler(NamedTuple):
    """A sampler: its name, whether it is random, model evaluations a step, its chain.

    Source: definition
    Test: test_samplers.py::test_each_sampler_asks_its_model_as_often_as_it_says
    """

    name: str
    random: bool
    evaluations: int
    chain: Callable[[SDE, Array], Chain]


def _solver(step, process):
    def chain(sde, grid):
        return solvers.chain(step, partial(process, sde), reversal.falling(grid))

    return chain


def _flow(tableau):
    return _solver(solvers.ode_step(tableau), reversal.probability_flow)


def _churned(sde: SDE, grid: Array) -> Chain:
    """EDM's sampler with noise added where it keeps sigma_hat below the largest sigma."""
    signal, noise = sde.marginal(grid[0])
    return edm.edm_chain(sde, grid, churn=10.0, s_max=noise / signal / np.sqrt(2))


def predictor_on(sde: SDE, grid: Array) -> Predictor:
    """Return the ancestral step on a falling grid of times as a predictor.

    Source: Song21 Algorithm 1
    Test: test_samplers.py::test_the_predictor_on_a_grid_is_the_ancestral_chain
    """
    times = reversal.falling(grid)

    def step(k, x, score, z):
        return reversal.ancestral_step(x, times[k], times[k + 1], score, z, sde)

    return Predictor([sde.level(t) for t in times], step)


SAMPLERS = (
    Sampler("Euler", False, 1, _flow(ode.EULER)),
    Sampler("Heun", False, 2, _flow(ode.HEUN)),
    Sampler("RK4", False, 4, _flow(ode.RK4)),
    Sampler("DDIM", False, 1, exponential.dpm_chain),
    Sampler("DPM-Solver-2", False, 2, partial(exponential.dpm_chain, order=2)),
    Sampler("DPM-Solver-3", False, 3, partial(exponential.dpm_chain, order=3)),
    Sampler("DPM-Solver++(2M)", False, 1, exponential.dpmpp_2m_chain),
    Sampler("EDM", False, 2, edm.edm_chain),
    Sampler("EDM, churned", True, 2, _churned),
    Sampler(
        "Euler-Maruyama",
        True,
        1,
        _solver(solvers.euler_maruyama_step, reversal.reverse),
    ),
    Sampler(
        "stochastic Heun",
        True,
        2,
        _solver(solvers.stochastic_heun_step, reversal.reverse),
    ),
    Sampler("ancestral", True, 1, reversal.ancestral_chain),
    Sampler(
        "predictor-corrector",
        True,
        2,
        lambda sde, grid: pc_chain(predictor_on(sde, grid), 1),
    ),
)


def denoised(sampler: Sampler, sde: SDE, grid: Array) -> Chain:
    """Return a sampler's chain, and one evaluation more that puts x0_hat for the last x.

    grid (N+1,) falling to a time with noise; ValueError at one without
    Source: Song21 G for the last step
    Test: test_samplers.py::test_each_sampler_asks_its_model_as_often_as_it_says
    """
    level = sde.level(grid[-1])
    if level.noise == 0:
        raise ValueError(f"grid must end where there is noise; got t = {level.t}")

    def last(x, z, model):
        return x0_from_score(x, model(x, level), level.signal, level.noise)

    return sampler.chain(sde, grid).then(tabulate([last]))


class Claim(NamedTuple):
    """What is claimed of a method: the order of an error as the steps shrink.

    kind: "deterministic", the error at the end; "weak", that of the mean and variance;
    "strong", the mean distance to the solution on the same Brownian path
    Source: Kloeden92 for the kinds
    Test: test_orders.py::test_every_claim_is_measured
    """

    method: str
    kind: str
    problem: str
    order: float


DECAY, GBM, OU = "Ex 4.8", "geometric Brownian motion", "Ornstein-Uhlenbeck"
MIXED, GAUSSIAN = "probability flow of a mixture", "reversal on Gaussian data"
ORDERS = (
    Claim("Euler", "deterministic", DECAY, 1),
    Claim("midpoint", "deterministic", DECAY, 2),
    Claim("Heun", "deterministic", DECAY, 2),
    Claim("RK4", "deterministic", DECAY, 4),
    Claim("Euler", "deterministic", MIXED, 1),
    Claim("Heun", "deterministic", MIXED, 2),
    Claim("RK4", "deterministic", MIXED, 4),
    Claim("DDIM", "deterministic", MIXED, 1),
    Claim("DPM-Solver-2", "deterministic", MIXED, 2),
    Claim("DPM-Solver-3", "deterministic", MIXED, 3),
    Claim("DPM-Solver++(2M)", "deterministic", MIXED, 2),
    Claim("EDM", "deterministic", MIXED, 2),
    Claim("Euler-Maruyama", "strong", GBM, 0.5),
    Claim("Euler-Maruyama", "strong", OU, 1),
    Claim("stochastic Heun", "strong", GBM, 1),
    Claim("Euler-Maruyama", "weak", OU, 1),
    Claim("stochastic Heun", "weak", OU, 2),
    Claim("Euler-Maruyama", "weak", GAUSSIAN, 1),
    Claim("stochastic Heun", "weak", GAUSSIAN, 2),
    Claim("ancestral", "weak", GAUSSIAN, 1),
    Claim("EDM, churned", "weak", GAUSSIAN, 2),
)


def measured_order(errors: Array) -> Array:
    """Return the orders seen between errors at steps that halve: log2 of their ratios.

    errors (m,) above 0  ->  (m-1,)
    Source: definition
    Test: test_orders.py::test_the_measure_of_order_is_right
    """
    return -np.diff(np.log2(errors))
