"""Stochastic steps: their limits, Ito against Stratonovich, and chains made of them."""

from functools import partial

import numpy as np
import pytest
from orders import brownian, gbm_errors, ou_strong_errors

from refdiff import ode, reversal, sde, solvers, toys
from refdiff.samplers import measured_order
from refdiff.solvers import Process, euler_maruyama_step, stochastic_heun_step

VP = sde.vp(sde.linear_beta())
GBM = Process(lambda x, t: -0.3 * x, lambda x, t: 0.8 * x)


@pytest.mark.order
def test_strong_orders_on_shared_brownian_paths():
    """The mean distance at the end to the exact solution on the same path."""
    for step, errors, order in (
        (euler_maruyama_step, gbm_errors, 0.5),
        (euler_maruyama_step, ou_strong_errors, 1),
        (stochastic_heun_step, gbm_errors, 1),
    ):
        slopes = measured_order(errors(step))
        assert abs(slopes.mean() - order) < 0.1, (step, slopes)
        assert abs(slopes - order).max() < 0.15, (step, slopes)


@pytest.mark.control
def test_each_method_misses_the_other_solution_of_multiplicative_noise():
    """Ito's and Stratonovich's solutions differ by exp(g^2/2): no step size mends that."""
    for step, ito in ((euler_maruyama_step, False), (stochastic_heun_step, True)):
        errors = gbm_errors(step, ito=ito)
        assert errors[-1] > 0.2
        assert abs(measured_order(errors)).max() < 0.1


@pytest.mark.law
def test_the_mean_of_multiplicative_noise_tells_ito_from_stratonovich():
    """Ito keeps E x = exp(a t); Stratonovich has exp((a + g^2/2) t): exact means."""
    n, N = 40_000, 64
    z = np.random.default_rng(1).standard_normal((N, n, 1))
    z = np.concatenate([z, -z], axis=1)  # antithetic: the mean is sharper
    grid = np.linspace(0, 1, N + 1)
    ends = {}
    for step in (euler_maruyama_step, stochastic_heun_step):
        *_, x = solvers.paths(step, GBM, np.ones((2 * n, 1)), grid, z)
        ends[step] = x.mean(), 5 * x.std() / np.sqrt(n)
    mean, error = ends[euler_maruyama_step]
    assert mean == pytest.approx((1 - 0.3 / N) ** N, abs=error)
    mean, error = ends[stochastic_heun_step]
    assert mean == pytest.approx(np.exp(-0.3 + 0.32), abs=error)


@pytest.mark.identity
@pytest.mark.parametrize("step", [euler_maruyama_step, stochastic_heun_step])
def test_brownian_motion_is_exact_at_any_step(step):
    """Ex 4.3 and, on a falling grid, Ex 4.5: x_i = x_{i-1} + a z, Var = a^2 t."""
    z = np.random.default_rng(0).standard_normal((30, 4, 2))
    process = sde.ou(0.0, 0.05, T=30.0)
    forward = Process(process.f, lambda x, t: process.g(t))
    for grid in (np.arange(31.0), np.arange(31.0)[::-1]):
        path = np.array(list(solvers.paths(step, forward, np.zeros((4, 2)), grid, z)))
        np.testing.assert_allclose(path[1:], 0.05 * np.cumsum(z, axis=0), rtol=1e-12)
        table = solvers.chain(step, lambda model: forward, grid)
        _, covs = table.law(np.zeros(1), np.eye(1), np.zeros(1), np.zeros((1, 1)))
        np.testing.assert_allclose(covs[:, 0, 0], 0.05**2 * np.arange(31), rtol=1e-12)


@pytest.mark.oracle
def test_the_recursion_of_example_4_4_keeps_another_variance_than_the_sde():
    """dt = 1: beta^2 / (1 - (1 - alpha/2)^2) = 0.013333; the SDE: beta^2/alpha = 0.01."""
    process = sde.ou(1.0, 0.1, T=100.0)
    forward = Process(process.f, lambda x, t: process.g(t))
    rest = []
    for dt in (1.0, 0.1, 0.01):
        grid = np.arange(0, 60 + dt / 2, dt)
        table = solvers.chain(euler_maruyama_step, lambda model: forward, grid)
        rest.append(table.law(np.zeros(1), np.eye(1))[1][-1, 0, 0])
    assert rest[0] == pytest.approx(1 / 75, rel=1e-12)
    want = [0.01 / (dt * (1 - dt / 4)) * dt for dt in (1.0, 0.1, 0.01)]
    np.testing.assert_allclose(rest, want, rtol=1e-9)
    assert process.marginal(60.0)[1] ** 2 == pytest.approx(0.01)


@pytest.mark.identity
@pytest.mark.parametrize(
    "step",
    [
        euler_maruyama_step,
        stochastic_heun_step,
        *(solvers.ode_step(t) for t in (ode.EULER, ode.MIDPOINT, ode.HEUN, ode.RK4)),
    ],
)
@pytest.mark.parametrize("reversal_", [reversal.reverse, reversal.probability_flow])
def test_a_chain_runs_as_its_solver_does(step, reversal_):
    """The table, found by probing, against the solver called directly."""
    law, grid = toys.example_2_1(), np.linspace(1, 0.01, 12)
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((5, 1)), rng.standard_normal((11, 5, 1))
    table = solvers.chain(step, partial(reversal_, VP), grid)
    direct = list(solvers.paths(step, reversal_(VP, law.model), x, grid, z))
    run = list(table.run(x, law.model, z=z))
    np.testing.assert_allclose(run, direct, rtol=1e-9, atol=1e-9)
    assert table.steps == 11
    stages = {euler_maruyama_step: 1, stochastic_heun_step: 2}.get(step)
    if stages:
        assert table.evaluations == 11 * stages
    deterministic = step not in (euler_maruyama_step, stochastic_heun_step)
    assert table.c.any() != (deterministic or reversal_ is reversal.probability_flow)


@pytest.mark.law
def test_the_law_of_a_chain_is_that_of_its_runs():
    """Exact mean and covariance of stochastic Heun's reversal, and 20,000 paths."""
    mean, cov = np.array([1.5, 0.0]), np.array([[0.25, 0.1], [0.1, 0.5]])
    law = toys.blobs([1.0], [mean], 1.0)
    law = type(law)(law.weights, law.means, cov[None])
    table = solvers.chain(
        stochastic_heun_step, partial(reversal.reverse, VP), np.linspace(1, 0.05, 20)
    )
    rng = np.random.default_rng(0)
    *_, x = table.run(rng.standard_normal((20_000, 2)), law.model, rng=rng)
    means, covs = table.law(mean, cov)
    white = np.linalg.solve(np.linalg.cholesky(covs[-1]), (x - means[-1]).T)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(20_000)
    assert np.abs(np.cov(white) - np.eye(2)).max() < 5 * np.sqrt(2 / 20_000)


def test_a_process_that_is_not_affine_is_no_chain_but_runs():
    grid = np.linspace(0, 1, 5)
    with pytest.raises(ValueError, match="not affine"):
        solvers.chain(euler_maruyama_step, lambda model: GBM, grid)
    z = brownian(4, 3, 0)
    *_, x = solvers.paths(euler_maruyama_step, GBM, np.ones((3, 1)), grid, z)
    want = np.prod(1 - 0.3 / 4 + 0.8 * 0.5 * z, axis=0)
    np.testing.assert_allclose(x, want, rtol=1e-13)


def test_what_does_not_fit_is_refused_by_name():
    x, grid = np.ones((3, 1)), np.linspace(0, 1, 5)
    run = partial(solvers.paths, euler_maruyama_step, GBM)
    with pytest.raises(ValueError, match=r"z must be \(4, 3, 1\)"):
        run(x, grid, np.ones((5, 3, 1)))
    with pytest.raises(ValueError, match="z must be finite"):
        run(x, grid, np.full((4, 3, 1), np.nan))
    with pytest.raises(ValueError, match="grid must rise"):
        run(x, grid[[0, 2, 1, 3, 4]], np.ones((4, 3, 1)))
    path = list(run(x, grid, np.ones((4, 3, 1))))
    assert path[0] is not x
    assert (x == 1).all()


@pytest.mark.parametrize("step", [euler_maruyama_step, stochastic_heun_step])
def test_noise_and_drift_of_another_shape_are_refused(step):
    x = np.ones((3, 1))
    with pytest.raises(ValueError, match="one shape: x \\(3, 1\\), z \\(3,\\)"):
        step(GBM, x, 0.0, 0.1, np.ones(3))
    flat = Process(lambda x, t: -x[:, 0], lambda x, t: 1.0)
    with pytest.raises(ValueError, match=r"f\(x, t\) must be \(3, 1\)"):
        step(flat, x, 0.0, 0.1, x)
