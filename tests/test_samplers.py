"""All samplers on one grid: their counts, their laws, and Gaussian data exactly."""

from itertools import pairwise

import numpy as np
import orders
import pytest
from orders import COV, MEAN, T_MIN, VP, marginal_law

from refdiff import predictors, reversal, sde
from refdiff.mixture import Mixture
from refdiff.predictors import pc_chain
from refdiff.samplers import SAMPLERS, Sampler, denoised, predictor_on

LAW = Mixture(np.ones(1), MEAN[None], COV[None])
each = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)


@each
def test_each_sampler_asks_its_model_as_often_as_it_says(sampler):
    """Counted by the model itself; and it is random exactly if it says so."""
    grid, asked = reversal.snr_grid(VP, 6, T_MIN), []

    def model(x, level):
        asked.append(level)
        return LAW.model(x, level)

    chain, x = denoised(sampler, VP, grid), np.ones((2, 2))
    ends = []
    for seed in (0, 1):
        asked.clear()
        *_, end = chain.run(x, model, rng=np.random.default_rng(seed))
        ends.append(end)
        assert len(asked) == chain.evaluations == 6 * sampler.evaluations + 1
    assert np.array_equal(*ends) != sampler.random
    assert all(VP.level(level.t) == pytest.approx(level) for level in asked)
    assert asked[-1].t == T_MIN


@each
@pytest.mark.limit
def test_each_sampler_comes_to_the_data(sampler):
    """400 steps from the exact law at T: mean and covariance of the data at t_min."""
    chain = sampler.chain(VP, reversal.snr_grid(VP, 400, T_MIN))
    start, want = marginal_law(VP, VP.T), marginal_law(VP, T_MIN)
    assert orders.law_error(chain, start, want) < 0.02


@each
@pytest.mark.parametrize("process", [sde.ve(0.01, 50.0), sde.sub_vp(sde.linear_beta())])
def test_each_sampler_runs_on_each_process(sampler, process):
    """The error of the law goes on falling: at least as the steps do, from any process."""
    t_min = process.time(3.0)
    start, want = (marginal_law(process, t) for t in (process.T, t_min))
    errors = [
        orders.law_error(
            sampler.chain(process, reversal.snr_grid(process, N, t_min)), start, want
        )
        for N in (200, 400)
    ]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.identity
def test_the_last_step_is_x0_hat():
    grid = reversal.snr_grid(VP, 5, T_MIN)
    *_, x, x0 = denoised(SAMPLERS[0], VP, grid).run(np.ones((3, 2)), LAW.model)
    want = LAW.denoise(x, *VP.marginal(T_MIN))
    np.testing.assert_allclose(x0, want, rtol=1e-12)


@pytest.mark.identity
def test_the_predictor_on_a_grid_is_the_ancestral_chain():
    grid = reversal.snr_grid(VP, 9, T_MIN)
    got = pc_chain(predictor_on(VP, grid))
    want = reversal.ancestral_chain(VP, grid)
    for name in ("A", "b", "c", "signal", "noise", "t", "ends"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-13)


@pytest.mark.oracle
def test_corrections_bring_the_law_nearer_but_keep_the_bias_of_their_step():
    """Predictor-corrector has no order: its law, by a scalar recursion, and its floor.

    Data N(1.5, 0.25). With many corrections the variance is that of Langevin steps of
    size r noise^2 at the last level, v / (1 - r noise^2 / (2 v)), whatever the predictor.
    """
    mean, v0, r = 1.5, 0.25, 0.1
    grid = reversal.snr_grid(VP, 20, T_MIN)
    found = {}
    for M in (0, 1, 50):
        m, v = 0.0, 1.0
        for t, s in pairwise(grid):
            (a, n), (b, k) = VP.marginal(t), VP.marginal(s)
            scale = a / b
            var = n**2 - scale**2 * k**2
            pull = 1 / (a**2 * v0 + n**2)
            m = (m - var * pull * (m - a * mean)) / scale
            v = ((1 - var * pull) / scale) ** 2 * v + (k / n) ** 2 * var
            eps, pull = r * k**2, 1 / (b**2 * v0 + k**2)
            for _ in range(M):
                m -= eps * pull * (m - b * mean)
                v = (1 - eps * pull) ** 2 * v + 2 * eps
        chain = pc_chain(predictor_on(VP, grid), M, r)
        means, covs = chain.law(np.array([mean]), np.array([[v0]]))
        assert means[-1, 0] == pytest.approx(m, rel=1e-11)
        assert covs[-1, 0, 0] == pytest.approx(v, rel=1e-11)
        found[M] = covs[-1, 0, 0]
    signal, noise = VP.marginal(T_MIN)
    true = signal**2 * v0 + noise**2
    errors = {M: abs(v - true) for M, v in found.items()}
    assert errors[1] < errors[0]
    assert found[50] == pytest.approx(true / (1 - r * noise**2 / (2 * true)), rel=0.05)


def test_a_sampler_of_ones_own_joins():
    own = Sampler("one of mine", False, 1, lambda s, g: SAMPLERS[3].chain(s, g))
    chain = denoised(own, VP, reversal.snr_grid(VP, 4, T_MIN))
    assert chain.steps == 5
    assert isinstance(predictor_on(VP, [1.0, 0.5]), predictors.Predictor)
    with pytest.raises(ValueError, match="grid must fall"):
        predictor_on(VP, [0.5, 1.0])


@each
@pytest.mark.parametrize(
    "process", [VP, sde.ve(0.01, 80.0), sde.edm(), sde.ou(1, 1.4, 12.0)]
)
def test_each_sampler_comes_to_the_data_from_its_own_start(sampler, process):
    """start(z) on any process, whose noise at T need not be 1: the data's law, nearly."""
    t_min = process.time(3.0)
    chain = sampler.chain(process, reversal.snr_grid(process, 300, t_min))
    spread = process.start(1.0) ** 2
    start = np.zeros(2), spread * np.eye(2)
    assert orders.law_error(chain, start, marginal_law(process, t_min)) < 0.15


@each
def test_each_sampler_refuses_a_grid_that_rises(sampler):
    with pytest.raises(ValueError, match="grid must fall"):
        sampler.chain(VP, np.linspace(0.01, 1.0, 20))


def test_a_last_step_from_no_noise_is_refused():
    with pytest.raises(ValueError, match="grid must end where there is noise"):
        denoised(SAMPLERS[3], VP, np.array([1.0, 0.5, 0.0]))
