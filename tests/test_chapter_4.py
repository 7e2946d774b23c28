"""Doors, defaults and copies of chapter 4, which no test of a formula sees."""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest

from refdiff import (
    langevin,
    ode,
    reversal,
    schedule,
    sde,
    solvers,
    toys,
)
from refdiff.ode import EULER, flow
from refdiff.predictors import (
    corrector_size,
    pc_chain,
    pc_sample,
    reverse_diffusion_step,
    reverse_step,
    smld_ancestral_step,
    smld_forward_step,
    smld_reverse_step,
    ve_predictor,
    vp_predictor,
)
from refdiff.probe import tabulate
from refdiff.schedule import Level
from refdiff.solvers import Process, euler_maruyama_step

SCHED = schedule.constant(100, 0.95)
SIGMA = langevin.ladder(0.1, 5.0, 12)
mp.mp.dps = 50
VP = sde.vp(sde.linear_beta())


def test_writing_into_the_first_state_of_a_flow_leaves_the_start_alone():
    x = np.ones(2)
    next(flow(lambda x, t: x, x, [0.0, 1.0]))[:] = 99
    assert (x == 1).all()


@pytest.mark.oracle
def test_a_flow_without_a_tableau_is_simpsons_rule_on_a_cubic():
    *_, x = flow(lambda x, t: 0 * x + t**3, np.zeros(1), [0.0, 1.0])
    assert x[0] == pytest.approx(1 / 4, rel=1e-15)


def test_a_falling_grid_that_stands_still_is_refused():
    with pytest.raises(ValueError, match="rise throughout or fall"):
        ode.monotone([1.0, 0.5, 0.5])


def test_a_grid_changed_after_the_call_changes_no_flow():
    grid = np.array([0.0, 1.0])
    run = flow(lambda x, t: x, np.ones(1), grid, EULER)
    grid[1] = 5.0
    *_, x = run
    assert x[0] == 2


def test_the_reference_refuses_what_a_flow_refuses():
    with pytest.raises(ValueError, match="x must be finite"):
        ode.reference_flow(lambda x, t: x, np.array([np.nan]), [0.0, 1.0])
    with pytest.raises(ValueError, match="rise throughout or fall"):
        ode.reference_flow(lambda x, t: x, np.ones(1), [0.0, 1.0, 0.5])


def test_noise_that_would_broadcast_is_refused():
    gbm = Process(lambda x, t: -x, lambda x, t: x)
    with pytest.raises(ValueError, match=r"z must be \(4, 3, 1\)"):
        solvers.paths(
            euler_maruyama_step,
            gbm,
            np.ones((3, 1)),
            np.linspace(0, 1, 5),
            np.ones((4, 1, 1)),
        )


def test_a_start_that_is_not_finite_is_refused():
    gbm = Process(lambda x, t: -x, lambda x, t: x)
    with pytest.raises(ValueError, match="x must be finite"):
        solvers.paths(
            euler_maruyama_step,
            gbm,
            np.full((3, 1), np.nan),
            [0.0, 1.0],
            np.ones((1, 3, 1)),
        )


def test_a_chain_on_a_grid_that_turns_is_refused():
    noise = Process(lambda x, t: -x, lambda x, t: 1.0)
    with pytest.raises(ValueError, match="rise throughout or fall"):
        solvers.chain(euler_maruyama_step, lambda model: noise, [0.0, 1.0, 0.5])


@pytest.mark.oracle
def test_noise_at_time_0_decays_with_the_signal():
    """By the moment equation v' = -v + 0.49 from v(0) = 0.09."""
    process = replace(sde.ou(1.0, 0.7), noise0=0.3)
    want = ode.reference_flow(
        lambda v, t: 0.49 - v, np.array([0.09]), np.array([0.0, 1.0])
    )
    assert process.marginal(1.0)[1] ** 2 == pytest.approx(want[-1, 0], rel=1e-9)


def test_a_log_snr_above_the_first_is_refused():
    with pytest.raises(ValueError, match="log_snr must be in"):
        sde.ve(0.01, 50.0).time(np.log(100) + 0.1)


def test_defaults_are_those_of_the_papers():
    """Each as one call writes it, against numbers typed here."""
    assert sde.ou(1.0, 1.0).T == 1.0
    assert sde.cosine_beta().T == 0.995
    assert sde.ve().marginal(0.0)[1] == 0.01
    assert sde.ve().marginal(1.0)[1] == pytest.approx(50.0, rel=1e-14)
    assert sde.edm().T == 80.0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sde.ou(1.0, 1.0, T=0.0), "T must be"),
        (lambda: sde.cosine_beta(T=0.0), "T in"),
        (lambda: sde.cosine_beta(T=-1.0), "T in"),
        (lambda: sde.cosine_beta(np.inf), "s must be"),
    ],
)
def test_times_and_shifts_out_of_range_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.oracle
def test_without_a_shift_the_cosine_is_a_plain_one():
    signal, _ = sde.vp(sde.cosine_beta(0.0)).marginal(0.3)
    assert signal == pytest.approx(np.cos(0.15 * np.pi), rel=1e-13)


def test_rescaling_what_is_rescaled_already_changes_nothing():
    process, t = sde.ve(0.01, 50.0), np.array([0.0, 0.3, 1.0])
    for got, want in zip(
        sde.rescaled(process).marginal(t), process.marginal(t), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(
    "process",
    [sde.ou(1.0, 1.0), sde.ou(0.0, 1.0), VP, sde.ve(), sde.edm(), sde.rescaled(VP)],
)
def test_tables_of_times_give_tables_of_their_shape(process):
    t = np.array([[0.1], [0.5]])
    assert [np.shape(v) for v in process.marginal(t)] == [t.shape] * 2
    assert np.shape(process.a(t)) == np.shape(process.g2(t)) == t.shape


def test_lam_is_one_number():
    for lam in ([0.5], [0.5, 1.0]):
        with pytest.raises(ValueError, match="lam must be"):
            reversal.reversal(VP, None, np.array(lam))


def test_an_ancestral_step_refuses_to_stand_still_and_to_broadcast():
    x = np.ones((5, 2))
    with pytest.raises(ValueError, match="t_next must be below t"):
        reversal.ancestral_step(x, 0.5, 0.5, x, x, VP)
    with pytest.raises(ValueError, match="the last axis must be"):
        reversal.ancestral_step(x, 0.5, 0.4, x[:, :1], x, VP)


@pytest.mark.oracle
def test_the_steps_of_a_vp_sde_have_its_rate_at_their_ends():
    """beta_i = beta(i T/N) T/N, by (32) and by the cosine's tangent."""
    sched = reversal.ddpm_schedule(VP, 100)
    i = np.arange(1, 101)
    np.testing.assert_allclose(sched.beta[1:], (0.1 + 19.9 * i / 100) / 100, rtol=1e-13)
    T, N = 0.5, 50
    sched, t = (
        reversal.ddpm_schedule(sde.vp(sde.cosine_beta(0.0, T)), N),
        0.5 * np.arange(1, 51) / 50,
    )
    np.testing.assert_allclose(
        sched.beta[1:], np.pi * np.tan(np.pi * t / 2) * T / N, rtol=1e-12
    )


def test_no_steps_are_refused_by_name():
    with pytest.raises(ValueError, match="N must be"):
        reversal.ddpm_schedule(VP, 0)


def test_what_nearly_preserves_variance_does_not():
    reversal.schedule_on(sde.ou(1.0, 1.0), [0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="preserve variance"):
        reversal.schedule_on(sde.ou(1.0, 1.001), [0.0, 0.5, 1.0])


def test_the_reverse_steps_refuse_noise_that_is_not_finite_and_t_0():
    one = np.ones(1)
    with pytest.raises(ValueError, match="z must be finite"):
        reverse_step(one, 1, one, np.nan * one, SCHED)
    with pytest.raises(ValueError, match="t must be"):
        reverse_diffusion_step(one, 0, one, one, SCHED)


@pytest.mark.oracle
def test_reverse_diffusion_takes_back_the_forward_increment():
    """Song's E: x - (forward mean - x) + beta score + sqrt(beta) z, at beta = 0.05."""
    x, score, z = np.array([3.0]), np.array([-2.0]), np.array([0.5])
    got = reverse_diffusion_step(x, 7, score, z, SCHED)
    back = 3.0 - (np.sqrt(0.95) * 3.0 - 3.0)
    assert got[0] == pytest.approx(back - 0.05 * 2.0 + np.sqrt(0.05) * 0.5, rel=1e-14)


@pytest.mark.parametrize("sigma", [[0.5, 0.5, 1.0], [[0.5, 1.0]]])
def test_levels_that_stand_still_or_are_no_list_are_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be"):
        ve_predictor(sigma)


@pytest.mark.parametrize("step", [smld_reverse_step, smld_ancestral_step])
def test_a_score_that_would_broadcast_is_refused(step):
    x = np.ones((4, 3))
    with pytest.raises(ValueError, match="the last axis must be"):
        step(x, 1, x[:, :1], x, SIGMA)
    with pytest.raises(ValueError, match="the last axis must be"):  # p7
        smld_forward_step(x, 1, x[:, :1], SIGMA)


def test_a_correction_has_r_of_one_tenth_unless_told():
    got, want = (pc_chain(vp_predictor(SCHED), 1, *r) for r in ((), (0.1,)))
    np.testing.assert_array_equal(got.c, want.c)


def test_songs_steps_refuse_by_name():
    x, rng = np.ones((3, 2)), np.random.default_rng(0)
    with pytest.raises(ValueError, match="corrections must be"):
        pc_sample(vp_predictor(SCHED), x, None, -1, 0.1, rng)
    with pytest.raises(ValueError, match="alpha must be"):
        corrector_size(x, x, 0.1, 0.0)
    with pytest.raises(ValueError, match=r"must be \(n, d\)"):
        corrector_size(x, x[:1], 0.1)
    with pytest.raises(ValueError, match="score must not be zero"):
        corrector_size(x * [[1], [0], [1]], x, 0.1)


def test_a_chain_of_two_leaves_its_parts_alone_and_no_register_is_read():
    """With a memory of two: the second part's first row reads nothing that the first left."""
    level = Level(0.8, 0.6, 3.0)

    def thrice(x, z, model, last, before):
        new = model(x, level)
        return x + 0.3 * new + 0.1 * last - 0.2 * before, new, last

    part, law = tabulate([thrice] * 3, history=2), toys.example_2_1()
    kept, x = part.A.copy(), np.array([[0.3], [-1.0]])
    *_, middle = part.run(x, law.model)
    *_, want = part.run(middle, law.model)
    both = part.then(part)
    np.testing.assert_array_equal(part.A, kept)
    *_, got = both.run(x, law.model)
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_a_table_of_times_is_no_grid():
    with pytest.raises(ValueError, match="grid must be"):
        ode.monotone([[0.0, 1.0], [2.0, 3.0]])


@pytest.mark.oracle
@pytest.mark.parametrize("h", [2.0**-30, 2.0**-40])
def test_transitions_of_ve_owe_nothing_to_rounding_where_t_less_s_is_exact(h):
    rate, low, s = mp.log(mp.mpf(50.0) / mp.mpf(0.01)), mp.mpf(0.01), mp.mpf(0.5)
    want = low**2 * (mp.exp(2 * rate * (s + mp.mpf(h))) - mp.exp(2 * rate * s))
    _, var = sde.ve(0.01, 50.0).transition(0.5, 0.5 + h)
    assert var == pytest.approx(float(want), rel=1e-13)


@pytest.mark.limit
def test_a_time_far_below_rounding_is_found():
    """noise^2 = beta_min t near 0, so log SNR 40 is at t = 10 exp(-80)."""
    assert VP.time(40.0) == pytest.approx(10 * np.exp(-80), rel=1e-12)
