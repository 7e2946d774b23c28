"""Running backwards: every member of the family has the forward process's marginals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import mixtures

from refdiff import (
    ddpm,
    edm,
    exponential,
    forward,
    gaussian,
    likelihood,
    ode,
    predictors,
    reversal,
    sde,
    toys,
)
from refdiff.samplers import measured_order, predictor_on

PROCESSES = {
    "VP linear": sde.vp(sde.linear_beta()),
    "VP cosine": sde.vp(sde.cosine_beta()),
    "sub-VP": sde.sub_vp(sde.linear_beta()),
    "VE": sde.ve(0.01, 50.0),
    "EDM": sde.edm(),
    "OU": sde.ou(1.0, 1.4, T=6.0),
}
VP = PROCESSES["VP linear"]
processes = pytest.mark.parametrize("name", PROCESSES)


def slope(f, t, h):
    """Derivative by a five-point rule, of fourth order."""
    return (8 * (f(t + h) - f(t - h)) - (f(t + 2 * h) - f(t - 2 * h))) / (12 * h)


def residual(process, law, t, x, lam, factor=1.0):
    """Fokker-Planck residual of the closed-form density under a reversal, over p.

    In s = -t: dp/ds = div(f p) + lam^2 g^2/2 lap p, so with l = log p it is
    -dl/dt = div f + f . l' + lam^2 g^2/2 (lap l + |l'|^2); the size of its terms.
    """
    back = reversal.reversal(process, lambda y, at: factor * law.model(y, at), lam)
    at = law.noised(*process.marginal(t))
    h, eye = 1e-3 * min(t, process.T - t), 1e-3 * np.eye(law.d)
    dl = slope(lambda v: law.noised(*process.marginal(v)).logpdf(x), t, h)
    push = likelihood.linearised_mixture(law)(x, process.level(t))[1]
    lap = likelihood.divergence(push, x, None)
    score, f = at.score(x), back.f(x, t)
    div = sum(
        slope(lambda v, e=e, i=i: back.f(x + v * e, t)[:, i], 0.0, 1.0)
        for i, e in enumerate(eye)
    )
    div = div / 1e-3
    half = back.g(x, t) ** 2 / 2
    terms = [dl, div, (f * score).sum(axis=1), half * (lap + (score**2).sum(axis=1))]
    return sum(terms), sum(np.abs(term) for term in terms)


@pytest.mark.identity
@processes
@given(
    law=mixtures(),
    share=st.floats(0.2, 0.9),
    lam=st.sampled_from([0.0, 0.5, 1.0, 1.7]),
    seed=st.integers(0, 99),
)
def test_the_whole_family_keeps_the_marginals_of_mixtures(name, law, share, lam, seed):
    process = PROCESSES[name]
    t = share * process.T
    at = law.noised(*process.marginal(t))
    x = at.sample(6, np.random.default_rng(seed))
    left, size = residual(process, law, t, x, lam)
    assert (np.abs(left) < 1e-6 * size).all()


@pytest.mark.control
@processes
@pytest.mark.parametrize("factor", [0.5, 2.0, -1.0, 0.0])
def test_another_factor_of_the_score_keeps_no_marginals(name, factor):
    """A missing or doubled half, a wrong sign, no score."""
    process, law = PROCESSES[name], toys.example_2_1()
    t = 0.3 * process.T
    x = law.noised(*process.marginal(t)).sample(6, np.random.default_rng(0))
    for lam in (0.0, 1.0):
        left, size = residual(process, law, t, x, lam, factor)
        assert (np.abs(left) > 1e-3 * size).any()


@pytest.mark.identity
@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_the_theorems_forms_are_the_general_one(share, seed):
    """Thm 4.2: -beta [x/2 + score]; Thm 4.4: -(d sigma^2/dt) score; (13): with a half."""
    law, x = toys.example_2_1(), np.random.default_rng(seed).standard_normal((5, 1))
    beta = sde.linear_beta().beta(share)
    score = law.model(x, VP.level(share))
    back, flow = (
        reversal.reverse(VP, law.model),
        reversal.probability_flow(VP, law.model),
    )
    np.testing.assert_allclose(back.f(x, share), -beta * (x / 2 + score), rtol=1e-12)
    np.testing.assert_allclose(
        flow.f(x, share), -beta * (x + score) / 2, rtol=1e-12, atol=1e-13
    )
    assert back.g(x, share) == pytest.approx(np.sqrt(beta))
    assert flow.g(x, share) == 0
    process = PROCESSES["VE"]
    score, rate = law.model(x, process.level(share)), 2 * np.log(5000)
    rise = rate * (0.01 * 5000**share) ** 2
    back = reversal.reverse(process, law.model)
    np.testing.assert_allclose(back.f(x, share), -rise * score, rtol=1e-12)
    assert back.g(x, share) == pytest.approx(np.sqrt(rise))


def test_reversals_refuse_what_has_no_meaning():
    for lam in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="lam must be"):
            reversal.reversal(VP, toys.example_2_1().model, lam)
    forgotten = sde.ou(1.0, 1.0, T=2000.0)
    model, grid = toys.example_2_1().model, np.linspace(2000.0, 1.0, 5)
    back = reversal.reverse(forgotten, model)
    for run in (
        lambda: back.f(np.ones((1, 1)), 2000.0),
        lambda: reversal.ancestral_chain(forgotten, grid),
        lambda: predictor_on(forgotten, grid),
        lambda: exponential.dpm_chain(forgotten, grid),
        lambda: exponential.dpmpp_2m_chain(forgotten, grid),
        lambda: edm.edm_chain(forgotten, grid),
        lambda: reversal.snr_grid(forgotten, 5, 1.0),
    ):
        with pytest.raises(ValueError, match="signal = 0"):
            run()
    with pytest.raises(ValueError, match="share must be"):
        reversal.between(VP, 0.5, 0.4, 1.1)


@pytest.mark.order
def test_ddpm_steps_are_the_vp_sde_to_first_order():
    """Thm 4.1: a step differs from the SDE's transition by O(dt^2), a run by O(dt)."""
    step, run = [], []
    for N in (200, 400, 800, 1600):
        sched = reversal.ddpm_schedule(VP, N)
        i = N // 2
        scale, var = VP.transition((i - 1) / N, i / N)
        step.append(abs(np.sqrt(sched.alpha[i]) - scale) + abs(sched.beta[i] - var))
        means, covs = forward.q_chain(sched).law(
            np.zeros(1), np.eye(1), np.array([1.5]), np.array([[0.25]])
        )
        t = np.linspace(0, 1, N + 1)
        signal, noise = VP.marginal(t)
        error = np.abs(covs[:, 0, 0] - 0.25 * signal**2 - noise**2)
        run.append(error.max() + np.abs(means[:, 0] - 1.5 * signal).max())
    assert abs(measured_order(step) - 2).max() < 0.1
    assert abs(measured_order(run) - 1).max() < 0.1


@pytest.mark.order
def test_the_euler_step_is_the_ddpm_step_to_second_order_in_beta():
    """1 - beta/2 for sqrt(1 - beta): the last line of the proof of Thm 4.1."""
    gaps = []
    for N in (200, 400, 800):
        beta = reversal.ddpm_schedule(VP, N).beta[N // 2]
        gaps.append(1 - beta / 2 - np.sqrt(1 - beta))
    assert abs(measured_order(gaps) - 2).max() < 0.1
    with pytest.raises(ValueError, match="beta must be in"):
        reversal.ddpm_schedule(VP, 19)  # beta_19 = 20/19
    for other in ("VE", "sub-VP", "OU"):
        with pytest.raises(ValueError, match="preserve variance"):
            reversal.ddpm_schedule(PROCESSES[other], 100)
    with pytest.raises(TypeError):
        reversal.ddpm_schedule(VP, 100.5)


@pytest.mark.identity
@pytest.mark.parametrize("name", ["VP linear", "VP cosine"])
def test_a_schedule_on_a_grid_has_the_marginals_of_the_sde(name):
    process = PROCESSES[name]
    grid = process.T * np.linspace(0, 1, 30) ** 3
    sched = reversal.schedule_on(process, grid)
    signal, noise = process.marginal(grid)
    np.testing.assert_allclose(sched.signal, signal, rtol=1e-12)
    np.testing.assert_allclose(sched.noise, noise, rtol=1e-12)
    np.testing.assert_array_equal(sched.label, grid)
    for other in ("VE", "sub-VP", "OU"):
        with pytest.raises(ValueError, match="preserve variance"):
            reversal.schedule_on(PROCESSES[other], grid / process.T)
    with pytest.raises(ValueError, match="rise from 0"):
        reversal.schedule_on(process, grid[1:])
    with pytest.raises(ValueError, match="rise from 0"):
        reversal.schedule_on(process, np.array([0.0, -0.1]))


@pytest.mark.identity
@processes
@given(share=st.floats(0.05, 1), ratio=st.floats(0.1, 0.95))
def test_the_ancestral_step_is_the_posterior_of_any_process(name, share, ratio):
    """Mean and variance by conditioning (x_s, x_t) given x0 on x_t."""
    process, x0, xt = PROCESSES[name], 0.7, -0.4
    t, s = share * process.T, ratio * share * process.T
    (a, n), (b, k) = process.marginal(s), process.marginal(t)
    scale = b / a
    cov = np.array([[n**2, scale * n**2], [scale * n**2, k**2]])
    mean, var = gaussian.condition(np.array([a * x0, b * x0]), cov, [1], np.array([xt]))
    score = np.array([(b * x0 - xt) / k**2])
    one, x = np.ones(1), np.array([xt])
    got = reversal.ancestral_step(x, t, s, score, 0 * one, process)
    np.testing.assert_allclose(got, mean, rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="t_next must be below t"):
        reversal.ancestral_step(x, s, t, score, one, process)
    with pytest.raises(ValueError, match="z must be finite"):
        reversal.ancestral_step(x, t, s, score, np.inf * one, process)
    std = reversal.ancestral_step(x, t, s, score, one, process) - got
    np.testing.assert_allclose(std**2, var[0], rtol=1e-7, atol=1e-9 * n**2)


@pytest.mark.identity
def test_the_ancestral_step_is_ddpms_and_smlds():
    """DDPM's on VP, down to t = 0, where it is x0_hat; SMLD's on VE."""
    grid = np.linspace(0, 1, 13) ** 2
    sched = reversal.schedule_on(VP, grid)
    got = reversal.ancestral_chain(VP, grid[::-1])
    want = ddpm.ddpm_chain(sched)
    for name in ("A", "b", "c", "signal", "noise", "t", "ends"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(want, name), rtol=1e-11, atol=1e-15
        )
    process = PROCESSES["VE"]
    sigma = process.marginal(grid)[1]
    got = reversal.ancestral_chain(process, grid[::-1])
    ladder = predictors.ve_predictor(sigma, predictors.smld_ancestral_step)
    want = predictors.pc_chain(ladder)
    for name in ("A", "b", "c", "signal", "noise", "ends"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-10)


@pytest.mark.identity
@processes
def test_grids_are_even_in_their_own_measure(name):
    process = PROCESSES[name]
    t_min = process.time(2.5)
    grid = reversal.snr_grid(process, 17, t_min)
    lam = process.log_snr(grid)
    np.testing.assert_allclose(np.diff(lam), (lam[-1] - lam[0]) / 17, rtol=1e-9)
    assert (grid[0], grid[-1], len(grid)) == (process.T, t_min, 18)
    assert reversal.falling(grid) == grid.tolist()
    assert reversal.snr_grid(process, 1, t_min).tolist() == [process.T, t_min]
    with pytest.raises(ValueError, match="grid must fall"):
        reversal.falling(grid[::-1])
    if name == "VE":  # which has noise at t = 0 already
        assert reversal.snr_grid(process, 4, 0.0)[-1] == 0
    else:
        with pytest.raises(ValueError, match="t_min must be"):
            reversal.snr_grid(process, 4, 0.0)
    with pytest.raises(ValueError, match="t_min must be"):
        reversal.snr_grid(process, 4, process.T)
    with pytest.raises(TypeError, match="N must be an integer"):
        reversal.snr_grid(process, 4.0, t_min)
    with pytest.raises(ValueError, match="N must be"):
        reversal.snr_grid(process, 0, t_min)


@pytest.mark.identity
@pytest.mark.parametrize("name", ["VP linear", "VP cosine", "sub-VP", "OU"])
def test_ddim_is_one_trajectory_in_vp_and_ve(name):
    """x / signal of the one is the state of the other, at every step; so is the flow."""
    process, law = PROCESSES[name], toys.example_2_1()
    grid = reversal.snr_grid(process, 12, process.time(3.0))
    signal, _ = process.marginal(grid)
    x = np.linspace(-2, 2, 5)[:, None]
    path = list(exponential.dpm_chain(process, grid).run(x, law.model))
    scaled = sde.rescaled(process)
    other = exponential.dpm_chain(scaled, grid).run(x / signal[0], law.model)
    want = np.array(path) / signal[:, None, None]
    np.testing.assert_allclose(list(other), want, rtol=1e-9, atol=1e-10)
    flow, far = (reversal.probability_flow(p, law.model) for p in (process, scaled))
    ends = ode.reference_flow(flow.f, x, grid[[0, -1]])[-1] / signal[-1]
    got = ode.reference_flow(far.f, x / signal[0], grid[[0, -1]])[-1]
    np.testing.assert_allclose(got, ends, rtol=1e-8, atol=1e-9)


def test_the_ends_of_a_stretch_are_its_own_levels():
    """Without noise at one end, too; and where the SNR stands still time stays inside."""
    assert reversal.between(VP, 0.5, 0.0, 0.0) == VP.level(0.5)
    assert reversal.between(VP, 0.5, 0.0, 1.0) == VP.level(0.0)
    still = sde.ou(-2.0, 1.0, T=100.0)
    assert 30 <= reversal.between(still, 40.0, 30.0, 0.5).t <= 40
