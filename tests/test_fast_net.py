"""The compiled network against the NumPy one: the same numbers, and the same bits."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import mpmath
import numba
import numpy as np
import pytest
from support import check_grad

from refdiff import (
    compiled,
    ddpm,
    exponential,
    fast_net,
    kernel_net,
    noise,
    schedule,
    sde,
    targets,
    train,
)
from refdiff.net import MLP

T = 20
NET = MLP(2, T, hidden=(16, 24), frequencies=4)
SCHED = schedule.cosine(T)
CHAIN = ddpm.ddpm_chain(SCHED)


def weights(dtype=float):
    rng = np.random.default_rng(1)
    return NET.init(rng, dtype) + 0.1 * rng.standard_normal(NET.size).astype(dtype)


def batch(n, rng=None):
    rng = np.random.default_rng(n) if rng is None else rng
    x, y = rng.standard_normal((2, n, 2))
    return x, rng.integers(1, T + 1, n), y, rng.uniform(0.5, 2, n)


def by_numpy(params, x, t, y, weight):
    y_hat, cache = NET.forward(params, x.astype(params.dtype), t)
    pull = weight[:, None] * (y_hat - y) / len(x)
    return float((pull * (y_hat - y)).sum()), NET.backward(cache, 2 * pull)[0]


def draw(rng):
    return batch(130, rng)


def learned(params):
    return lambda x, t: NET.predict(params, x, t)


def points(n, dtype=float):
    return np.random.default_rng(2).standard_normal((n, 2)).astype(dtype)


@pytest.mark.oracle
@pytest.mark.parametrize("n", [1, 48, 97, 130, 500, 1000])
def test_loss_and_gradient_are_those_of_the_numpy_network(n):
    """From one shard to many in each lane, not all of the same size."""
    loss, grad = fast_net.loss_grad(NET, weights(), *batch(n))
    want_loss, want = by_numpy(weights(), *batch(n))
    assert loss == pytest.approx(want_loss, rel=1e-13)
    np.testing.assert_allclose(grad, want, rtol=0, atol=1e-13 * np.abs(want).max())


@pytest.mark.gradient
def test_the_gradient_is_that_of_the_loss():
    def loss(params):
        return fast_net.loss_grad(NET, params, *batch(130))[0]

    check_grad(loss, weights(), fast_net.loss_grad(NET, weights(), *batch(130))[1])


@pytest.mark.control
def test_rows_with_other_weights_have_another_gradient():
    x, t, y, weight = batch(130)
    grad = fast_net.loss_grad(NET, weights(), x, t, y, weight)[1]
    _, want = by_numpy(weights(), x, t, y, np.ones_like(weight))
    assert np.abs(grad - want).max() > 1e-2 * np.abs(want).max()


def both(steps, dtype=float, **options):
    start = train.start(weights(dtype), np.random.default_rng(3))
    plain = train.fit(lambda p, rng: by_numpy(p, *draw(rng)), start, **options)
    ours = fast_net.fit(NET, draw, start, **options)
    return list(islice(ours, steps)), list(islice(plain, steps))


def distance(one, two):
    names = ("params", "ema", "m", "v")
    pairs = [(getattr(one, name), getattr(two, name)) for name in names]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


@pytest.mark.oracle
def test_training_is_that_of_train_fit():
    rate = train.cosine_decay(1e-2, 50)
    for one, two in zip(*both(50, lr=rate, ema_decay=0.9), strict=True):
        assert (one.step, one.rng) == (two.step, two.rng)
        assert one.loss == pytest.approx(two.loss, rel=1e-10)
        assert distance(one, two) < 1e-9


@pytest.mark.identity
@pytest.mark.parametrize("size", [1, 511, 513, 40_000])
def test_a_compiled_step_is_that_of_train_to_the_last_bit(size):
    rng = np.random.default_rng(size)
    params, ema, m, grad = rng.standard_normal((4, size))
    v, new = rng.random(size), np.empty((4, size))
    for step in (1, 2, 8, 50, 999, 19_993, 10**6):
        kernel_net.update(new, params, ema, m, v, grad, step, 1e-3, 0.99)
        start = train.State(step - 1, 0.0, params, ema, m, v, {})
        for one, two in zip(new, train.update(start, grad, 1e-3, 0.99), strict=True):
            assert (one == two).all()


@pytest.mark.control
def test_training_with_another_decay_is_not_that_of_train_fit():
    ours, _ = both(50, ema_decay=0.9)
    _, plain = both(50, ema_decay=0.8)
    assert distance(ours[-1], plain[-1]) > 1e-4


def test_training_in_float32_stays_there_and_near_the_numpy_one():
    """A first step of Adam is lr sign(g), which rounding may turn where g is near 0."""
    ours, plain = both(20, np.float32)
    assert {a.dtype for a in (ours[-1].params, ours[-1].v)} == {np.dtype(np.float32)}
    assert ours[-1].loss == pytest.approx(plain[-1].loss, rel=1e-5)
    assert distance(ours[-1], plain[-1]) < 1e-3


def test_resuming_from_any_state_is_exact():
    states, _ = both(6)
    again = list(islice(fast_net.fit(NET, draw, states[2]), 3))
    for one, two in zip(states[3:], again, strict=True):
        assert one.loss == two.loss
        assert distance(one, two) == 0


def test_states_that_were_handed_out_stay_as_they_were():
    run = fast_net.fit(NET, draw, train.start(weights(), np.random.default_rng(0)))
    first = next(run)
    kept = first.params.copy(), first.v.copy()
    next(run), next(run)
    assert (first.params == kept[0]).all() and (first.v == kept[1]).all()


def test_bits_do_not_depend_on_the_number_of_threads():
    start = train.start(weights(), np.random.default_rng(0))
    x, params = points(700), weights()

    def everything(threads):
        *_, state = islice(fast_net.fit(NET, draw, start, threads=threads), 3)
        yield state.params
        yield fast_net.loss_grad(NET, params, *batch(1000), threads=threads)[1]
        yield sampled(params, x, threads=threads)

    for one, two in zip(everything(1), everything(2), strict=True):
        assert (one == two).all()


def sampled(params, x, chain=CHAIN, to_score=targets.eps_model, **options):
    return fast_net.run(chain, NET, params, x, to_score=to_score, seed=5, **options)


def replayed(params, x, chain, to_score):
    z = noise.normals(5, *x.shape, steps=chain.steps)
    return list(chain.run(x, to_score(learned(params)), z=z))[-1]


@pytest.mark.oracle
@pytest.mark.parametrize("target", [targets.EPS, targets.X0, targets.V, targets.SCORE])
def test_a_run_is_the_numpy_drivers_with_the_same_normals(target):
    def to_score(y_hat):
        return targets.target_model(y_hat, target, SCHED)

    x = points(130)
    want = replayed(weights(), x, CHAIN, to_score)
    got = sampled(weights(), x, to_score=to_score)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())


@pytest.mark.oracle
def test_a_chain_with_memory_runs_too():
    chain = exponential.dpmpp_2m_chain(
        sde.vp(sde.linear_beta()), np.linspace(1, 0.01, 9)
    )
    assert chain.A.shape[1] > 1 and not chain.c.any()
    x = points(70)
    want = replayed(weights(), x, chain, targets.eps_model)
    got = sampled(weights(), x, chain)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_shards_of_a_job_have_its_bits():
    """A cut at a multiple of 192."""
    x, params = points(400), weights()
    whole = sampled(params, x)
    parts = [sampled(params, x[:192]), sampled(params, x[192:], first=192)]
    assert (whole == np.concatenate(parts)).all()


silu = numba.njit(**compiled.ARRAYS)(kernel_net.silu)


def activated(x):
    """SiLU and its slope at x, in compiled code, as two rows."""
    y = x.reshape(2, -1).copy()
    slope = silu(y, np.zeros(2, x.dtype))
    return y.ravel(), slope.ravel()


@pytest.mark.oracle
@pytest.mark.parametrize("F, digits", [(np.float64, 53), (np.float32, 24)])
def test_the_activation_is_silu_to_a_few_last_digits(F, digits):
    """Against 50 digits, the far ends included; the slope to an absolute error."""
    x = np.concatenate([np.linspace(-60, 60, 402), [-200.0, 200.0]]).astype(F)
    for v, got, rise in zip(x, *activated(x), strict=True):
        s = 1 / (1 + mpmath.exp(-mpmath.mpf(float(v))))
        want, gain = v * s, s * (1 + v * (1 - s))
        tiny = 2.0**-1000 if F is np.float64 else 2.0**-110
        assert abs(float(got) - want) <= 4 * 2.0**-digits * abs(want) + tiny
        assert abs(float(rise) - gain) <= 4 * 2.0**-digits * max(1, abs(v))


def test_not_a_number_is_not_lost():
    y, slope = activated(np.array([np.nan, 1.0]))
    assert np.isnan([y[0], slope[0]]).all() and np.isfinite([y[1], slope[1]]).all()


def test_threads_are_as_before_after_a_call():
    import numba

    get, _ = fast_net._blas()
    before = numba.get_num_threads(), get()
    fast_net.loss_grad(NET, weights(), *batch(60), threads=1)
    with pytest.raises(ValueError, match="threads must be at"):
        fast_net.loss_grad(NET, weights(), *batch(3), threads=0)
    assert (numba.get_num_threads(), get()) == before


def test_blas_can_be_told_its_number_of_threads():
    get, put = fast_net._blas()
    before = get()
    put(1)
    assert get() == 1
    put(before)


def test_a_run_that_diverges_is_stopped():
    start = train.start(weights(), np.random.default_rng(0))

    def far(rng):
        x, t, y, weight = draw(rng)
        return x, t, 1e200 * y, weight

    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="step 1"):
        next(fast_net.fit(NET, far, start))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": points(4)[:, :1]}, r"x must be \(n, 2\)"),
        ({"x": np.full((130, 2), np.nan)}, "x must be finite"),
        ({"t": np.ones(3)}, "t must be a number or"),
        ({"y": np.ones((130, 1))}, r"y must be \(130, 2\)"),
        ({"weight": np.ones((130, 1))}, r"weight \(130,\)"),
        ({"params": np.ones(3)}, r"params must be \(634,\)"),
        ({"params": np.full(NET.size, np.nan)}, "params must be finite"),
        ({"threads": 10**6}, "threads must be at most"),
    ],
)
def test_bad_arguments_are_named(change, message):
    names = ("x", "t", "y", "weight")
    given = {**dict(zip(names, batch(130), strict=True)), "params": weights()}
    with pytest.raises(ValueError, match=message):
        fast_net.loss_grad(NET, **{**given, **change})


def test_bad_settings_are_named():
    start = train.start(weights(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="lr must be"):
        fast_net.fit(NET, draw, start, lr=-1.0)
    with pytest.raises(ValueError, match="ema_decay must be"):
        fast_net.fit(NET, draw, start, ema_decay=1.0)
    with pytest.raises(ValueError, match="at step 1"):
        next(fast_net.fit(NET, draw, start, lr=lambda step: np.nan))
    with pytest.raises(TypeError, match="params must be float64 or float32"):
        fast_net.fit(NET, draw, replace(start, params=weights().astype(int)))
    with pytest.raises(ValueError, match=r"ema must be \(634,\); got shape \(3,\)"):
        fast_net.fit(NET, draw, replace(start, ema=np.ones(3)))
    with pytest.raises(ValueError, match="threads must be at least 1"):
        fast_net.fit(NET, draw, start, threads=0)
    with pytest.raises(ValueError, match="draw must give x, t, y, weight; got 3"):
        next(fast_net.fit(NET, lambda rng: draw(rng)[:3], start))
    with pytest.raises(TypeError, match="net must be an MLP; got NoneType"):
        fast_net.fit(None, draw, start)
    with pytest.raises(TypeError, match="chain must be a Chain; got Schedule"):
        sampled(weights(), points(3), SCHED)
    with pytest.raises(ValueError, match="out = 2"):
        wide = replace(NET, out=3)
        fast_net.run(
            CHAIN,
            wide,
            np.ones(wide.size),
            points(3),
            to_score=targets.eps_model,
            seed=0,
        )


def of_its_own(scale, stretch):
    """A map to the score of a network that is asked elsewhere, at each time its way."""

    def x0_hat(y_hat, x, t):
        return 0.3 * x - y_hat(scale / (1 + t) * x, stretch * t)

    return lambda y_hat: targets.x0_model(lambda x, t: x0_hat(y_hat, x, t))


@pytest.mark.oracle
@pytest.mark.parametrize(("scale", "stretch"), [(1, 0.5), (0.3, 1), (-2, 3)])
def test_a_network_may_be_asked_at_scaled_points_and_other_times(scale, stretch):
    """As EDM's preconditioning asks its own, and a process in [0, 1] one of T steps."""
    x, to_score = points(70), of_its_own(scale, stretch)
    want = replayed(weights(), x, CHAIN, to_score)
    near = 1e-12 * np.abs(want).max()
    np.testing.assert_allclose(
        sampled(weights(), x, to_score=to_score), want, rtol=0, atol=near
    )
    other = sampled(weights(), x, to_score=of_its_own(1, 1))
    assert np.abs(other - want).max() > 1e-2 * np.abs(want).max()


@pytest.mark.control
@pytest.mark.parametrize("most", [0.05, 1, 3, 100, 1e4])
def test_a_map_to_the_score_that_bends_is_refused(most):
    def clipped(y_hat):
        return targets.x0_model(lambda x, t: np.clip(y_hat(x, t), -most, most))

    with pytest.raises(ValueError, match="to_score must be linear"):
        sampled(weights(), points(3), to_score=clipped)


@pytest.mark.control
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda f: lambda x, t: f(x[:, ::-1], t), "one finite time; row 0"),
        (lambda f: lambda x, t: f(x + 1, t), "one finite time; row 0"),
        (lambda f: lambda x, t: f(np.clip(x, -3, 3), t), "one finite time; row 0"),
        (lambda f: lambda x, t: f(x, t) - f(x, t + 1), "one finite time; row 0"),
        (lambda f: lambda x, t: f(x, np.nan), "one finite time; row 0"),
        (lambda f: lambda x, t: f(x, t)[:, ::-1], "linear in x"),
        (lambda f: lambda x, t: f(x, t)[:, :1], "linear in x"),
    ],
)
def test_a_network_that_is_asked_elsewhere_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        sampled(weights(), points(3), to_score=lambda f: targets.eps_model(asked(f)))


def test_a_chain_without_steps_changes_nothing():
    parts = (getattr(CHAIN, name)[:0] for name in type(CHAIN).__dataclass_fields__)
    x = points(3)
    assert (sampled(weights(), x, type(CHAIN)(*parts)) == x).all()


def test_two_threads_may_ask_at_once():
    """The number of BLAS's threads is as before, and the results are the same."""
    before, want = (
        fast_net._blas()[0](),
        fast_net.loss_grad(NET, weights(), *batch(130)),
    )
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(fast_net.loss_grad, NET, weights(), *batch(130))
            for _ in range(40)
        ]
    assert all((job.result()[1] == want[1]).all() for job in jobs)
    assert fast_net._blas()[0]() == before
