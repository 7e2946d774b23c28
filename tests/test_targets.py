"""The four targets describe one denoiser: every way round returns to the start."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import levels

from refdiff import ddpm, schedule, targets
from refdiff.mixture import Mixture
from refdiff.schedule import Level

rng = np.random.default_rng(0)
X0, EPS = rng.standard_normal((2, 5, 3))
KINDS = ("x0", "eps", "v", "score")


def world(signal, noise):
    """x_t and the four targets, made from X0 and EPS by matrices and not by targets.py.

    (x_t, v) = [[signal, noise], [-noise, signal]] (x0, eps); the score of
    N(signal x0, noise^2) at x_t from the density's exponent.
    """
    turn = np.array([[signal, noise], [-noise, signal]])
    xt, v = np.einsum("ij,jnd->ind", turn, np.stack([X0, EPS]))
    score = -(xt - signal * X0) / noise / noise
    return xt, {"x0": X0, "eps": EPS, "v": v, "score": score}


@pytest.mark.identity
@given(level=levels(), scale=st.sampled_from([1.0, 0.3, 7.0]))
def test_every_conversion_recovers_what_made_xt(level, scale):
    """All twelve, for r^2 = signal^2 + noise^2 = 1 and not (variance exploding)."""
    signal, noise = scale * level[0], scale * level[1]
    xt, truth = world(signal, noise)
    for a in KINDS:
        for b in KINDS:
            if a != b:
                convert = getattr(targets, f"{b}_from_{a}")
                got = convert(xt, truth[a], signal, noise)
                size = np.abs(truth[b]).max() + np.abs(xt).max() / min(signal, noise)
                np.testing.assert_allclose(
                    got, truth[b], rtol=1e-10, atol=1e-12 * size / min(noise, 1)
                )
    np.testing.assert_allclose(targets.v_target(X0, EPS, signal, noise), truth["v"])


@pytest.mark.limit
def test_conversions_from_v_hold_at_both_ends():
    """At signal = 0, v = -x0 and x_t = eps; at noise = 0, v = eps and x_t = x0."""
    np.testing.assert_array_equal(targets.x0_from_v(EPS, -X0, 0.0, 1.0), X0)
    np.testing.assert_array_equal(targets.eps_from_v(EPS, -X0, 0.0, 1.0), EPS)
    np.testing.assert_array_equal(targets.x0_from_v(X0, EPS, 1.0, 0.0), X0)
    np.testing.assert_array_equal(targets.eps_from_v(X0, EPS, 1.0, 0.0), EPS)


@pytest.mark.control
def test_a_wrong_sign_of_v_fails():
    xt, truth = world(0.8, 0.6)
    wrong = targets.x0_from_v(xt, -truth["v"], 0.8, 0.6)
    assert np.abs(wrong - X0).max() > 0.1


@pytest.mark.identity
def test_signal_and_noise_may_be_one_a_row():
    signal, noise = np.array([[0.8], [0.6], [1.0], [0.5], [0.1]]), 0.5
    xt = signal * X0 + noise * EPS
    np.testing.assert_allclose(targets.x0_from_eps(xt, EPS, signal, noise), X0, 1e-12)


@pytest.mark.identity
def test_every_model_returns_the_same_score():
    xt, truth = world(0.8, 0.6)
    level = Level(0.8, 0.6, 7.0)
    for kind in KINDS:
        asked = []

        def network(x, t, kind=kind, asked=asked):
            asked.append(t)
            return truth[kind]

        model = getattr(targets, f"{kind}_model")(network)
        np.testing.assert_allclose(model(xt, level), truth["score"], rtol=1e-12)
        assert asked == [7.0]


def test_models_at_zero_signal_return_x0_or_refuse():
    level = Level(0.0, 1.0, 9.0)
    got = targets.x0_model(lambda x, t: X0)(EPS, level)
    np.testing.assert_array_equal(got, X0)
    got = targets.v_model(lambda x, t: -X0)(EPS, level)
    np.testing.assert_array_equal(got, X0)
    for kind in ("eps", "score"):
        model = getattr(targets, f"{kind}_model")(lambda x, t: EPS)
        with pytest.raises(ValueError, match="says nothing of x0"):
            model(EPS, level)


TARGETS = {y.name: y for y in (targets.X0, targets.EPS, targets.V, targets.SCORE)}
SCHED = schedule.from_alpha([0.9, 0.5, 0.5, 1e-200, 1e-200])  # alpha_bar[5] = 0


@pytest.mark.identity
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_asked_for_any_target(kind):
    """A model that knows the score answers with each target; x0_hat where signal = 0."""
    target = TARGETS[kind]
    for t in (1, 2, 3, 5):
        signal, noise, _ = level = SCHED.level(t)
        xt, truth = world(signal, noise)
        asked = []

        def model(x, level, truth=truth, asked=asked):
            asked.append(level)
            return truth["x0" if level.signal == 0 else "score"]

        got = targets.ask(model, xt, t, SCHED, target)
        np.testing.assert_allclose(got, truth[kind], rtol=1e-11, atol=1e-13)
        assert asked == [level]
        made = target.of(X0, EPS, t, SCHED)
        np.testing.assert_allclose(made, truth[kind], rtol=1e-11, atol=1e-13)


@pytest.mark.identity
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_any_target_is_one_model(kind):
    """The other way, at the times the network knows: on a respaced schedule as well."""
    target, few = TARGETS[kind], SCHED.respace([2, 5])
    knows_x0 = kind in ("x0", "v")
    for level in (SCHED.level(1), SCHED.level(3), few.level(1), few.level(2)):
        xt, truth = world(*level[:2])
        asked = []

        def network(x, t, truth=truth, asked=asked):
            asked.append(t)
            return truth[kind]

        model = targets.target_model(network, target, SCHED)
        if level.signal > 0 or knows_x0:
            want = truth["x0" if level.signal == 0 else "score"]
            np.testing.assert_allclose(model(xt, level), want, rtol=1e-11, atol=1e-13)
            assert asked == [level.t]


@pytest.mark.control
def test_a_network_of_eps_or_score_is_refused_at_zero_signal():
    """It would be nan or infinite: neither says anything of x0 there."""
    sched = schedule.from_alpha([0.5, 1e-200, 1e-200])
    for target in (targets.EPS, targets.SCORE):
        model = targets.target_model(lambda x, t: x, target, sched)
        with pytest.raises(ValueError, match="says nothing of x0"):
            model(np.ones((2, 1)), sched.level(3))


@pytest.mark.identity
@pytest.mark.parametrize("sched", [schedule.cosine(30), schedule.linear(1000), SCHED])
@pytest.mark.parametrize("name", [*KINDS, "mean"])
def test_the_exact_network_of_any_target_is_the_mixtures_own_model(name, sched):
    """Its denoiser, spoken as each target, against its score; on a respaced chain too."""
    target = {**TARGETS, "mean": ddpm.MEAN}[name]
    covs = np.array([[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.4]]])
    law = Mixture(np.array([0.3, 0.7]), np.array([[1.0, -0.5], [-1.5, 0.4]]), covs)
    x, few = np.random.default_rng(1).standard_normal((7, 2)), sched.respace([2, 3, 5])

    def network(x, t):
        x0_hat = law.denoise(x, sched.signal[int(t)], sched.noise[int(t)])
        return target.from_x0(x, x0_hat, int(t), sched)

    model = targets.target_model(network, target, sched)
    for level in [sched.level(1), sched.level(5), *map(few.level, (1, 2, 3))]:
        if level.signal > 0 or name not in ("eps", "score"):
            want = law.model(x, level)
            np.testing.assert_allclose(model(x, level), want, rtol=1e-9)
