"""Training: Adam and the average by closed sums, resuming bit for bit, safe files."""

import io
import json
import math
import os
import pickle
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff.net import MLP
from refdiff.train import (
    State,
    adam_step,
    atomic_write,
    cosine_decay,
    ema_step,
    fit,
    load,
    restore,
    save,
    start,
)

SEEDS = st.integers(0, 2**32 - 1)
ARRAYS = ("params", "ema", "m", "v")


def noisy(params, rng):
    """A quadratic with its minimum near 3, seen through noise."""
    r = params - 3 + 0.1 * rng.standard_normal(params.shape)
    return float(r @ r), 2 * r


def network_loss(params, rng):
    """A small network on fresh data: what a real run does with its generator."""
    net = MLP(d=2, T=1.0, hidden=(8,), frequencies=2)
    x, t = rng.standard_normal((16, 2)), rng.uniform(size=16)
    y, cache = net.forward(params, x, t)
    r = y - np.sin(x)
    return np.sum(r**2) / 16, net.backward(cache, 2 * r / 16)[0]


def begin(seed=0):
    return start(
        np.random.default_rng(1).standard_normal(5), np.random.default_rng(seed)
    )


def run(state, n, loss=noisy, **options):
    *_, last = islice(fit(loss, state, **options), n)
    return last


def assert_same(a, b):
    """Two states agree in every bit."""
    assert (a.step, a.rng) == (b.step, b.rng)
    assert a.loss == b.loss or (math.isnan(a.loss) and math.isnan(b.loss))
    for name in ARRAYS:
        one, two = getattr(a, name), getattr(b, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def adam_by_hand(x, grads, lr, b1, b2, eps, corrected=True):
    """Adam on one number: each moment is a weighted mean of all gradients so far."""
    for n in range(1, len(grads) + 1):
        w1 = [b1 ** (n - i) for i in range(1, n + 1)]
        w2 = [b2 ** (n - i) for i in range(1, n + 1)]
        total1 = math.fsum(w1) if corrected else 1 / (1 - b1)
        total2 = math.fsum(w2) if corrected else 1 / (1 - b2)
        m = math.fsum(w * g for w, g in zip(w1, grads, strict=False)) / total1
        v = math.fsum(w * g * g for w, g in zip(w2, grads, strict=False)) / total2
        x -= lr * m / (math.sqrt(v) + eps)
    return x


def adam(x, grads, **options):
    m = v = np.zeros_like(x)
    for step, g in enumerate(grads, 1):
        x, m, v = adam_step(x, g, m, v, step, **options)
    return x


@pytest.mark.identity
@given(
    grads=st.lists(st.floats(-3, 3), min_size=1, max_size=30),
    b1=st.floats(0, 0.95),
    b2=st.floats(0.5, 0.999),
)
def test_adam_follows_its_algorithm_by_hand(grads, b1, b2):
    options = {"lr": 0.02, "b1": b1, "b2": b2, "eps": 1e-3}
    got = adam(np.array([0.5]), np.array(grads)[:, None], **options)
    assert got[0] == pytest.approx(adam_by_hand(0.5, grads, **options), rel=1e-10)


@pytest.mark.control
def test_adam_without_bias_correction_is_another_algorithm():
    grads, defaults = [0.3, -1.2, 0.7], {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    got = adam(np.array([0.5]), np.array(grads)[:, None], lr=0.02)[0]
    by_hand = adam_by_hand(0.5, grads, 0.02, **defaults)
    assert got == pytest.approx(by_hand, rel=1e-12)
    wrong = adam_by_hand(0.5, grads, 0.02, **defaults, corrected=False)
    assert got != pytest.approx(wrong, rel=1e-3)


@pytest.mark.limit
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_the_first_step_of_adam_has_size_lr(size):
    """Whatever the gradient: Kingma15 2.1."""
    grad = size * np.array([1.0, -2.0, 0.5])
    zero = np.zeros(3)
    moved = adam_step(zero, grad, zero, zero, 1, 0.01)[0]
    np.testing.assert_allclose(moved, -0.01 * np.sign(grad), rtol=1e-4)
    still = adam_step(zero, zero, zero, zero, 1, 0.01)[0]
    np.testing.assert_array_equal(still, zero)


@pytest.mark.identity
@given(seed=SEEDS, power=st.integers(-20, 20))
def test_adam_is_blind_to_the_scale_of_the_loss(seed, power):
    """With eps = 0, exactly so for a power of two."""
    grads = np.random.default_rng(seed).standard_normal((10, 4))
    one = adam(np.zeros(4), grads, lr=0.1, eps=0.0)
    np.testing.assert_array_equal(
        one, adam(np.zeros(4), grads * 2.0**power, lr=0.1, eps=0.0)
    )


@pytest.mark.limit
def test_a_constant_gradient_moves_adam_lr_a_step():
    grads = np.full((500, 1), -0.7)
    assert adam(np.zeros(1), grads, lr=0.01, eps=0.0)[0] == pytest.approx(5, rel=1e-11)


def ema_weights(n, decay):
    """Weight of each of n + 1 parameter vectors in the average after n steps."""
    unit = np.eye(n + 1)
    ema = unit[0]
    for step in range(1, n + 1):
        ema = ema_step(ema, unit[step], step, decay)
    return ema


@pytest.mark.identity
@given(n=st.integers(1, 60), decay=st.floats(0, 0.9999))
def test_ema_is_a_weighted_mean_of_the_parameters(n, decay):
    """Weights above 0 with sum 1; in the warm-up they are binomial coefficients."""
    weights = ema_weights(n, decay)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, rel=1e-13)
    if n <= 10 * decay / (1 - decay):  # the decay has not reached its limit
        binomial = [math.comb(i + 9, 9) / math.comb(n + 10, 10) for i in range(n + 1)]
        np.testing.assert_allclose(weights, binomial, rtol=1e-10)


@pytest.mark.limit
def test_ema_forgets_geometrically_once_it_is_warm():
    weights = ema_weights(100, 0.5)  # warm from step 10
    np.testing.assert_allclose(weights[10:], 0.5 ** (101.0 - np.arange(10, 101)), 1e-12)
    np.testing.assert_array_equal(ema_weights(5, 0.0), np.eye(6)[5])


@pytest.mark.control
def test_ema_without_its_warm_up_is_stuck_at_the_start():
    weights, slow = ema_weights(100, 0.9999), 0.9999**100
    assert weights[0] < 1e-12 and slow > 0.99


@pytest.mark.limit
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_cosine_decay_runs_from_lr_to_nearly_zero(steps):
    rate = [cosine_decay(0.3, steps)(step) for step in range(1, steps + 3)]
    assert rate[0] == 0.3
    assert rate[-2:] == [0, 0]
    assert (np.diff(rate[:-1]) < 0).all() and min(rate[:steps]) > 0
    assert rate[steps - 1] <= 0.3 * min(1, 2.5 / steps**2)
    mirrored = np.add(rate[: steps + 1], rate[steps::-1])  # halves make the whole
    np.testing.assert_allclose(mirrored, 0.3, rtol=1e-14)


@pytest.mark.parametrize(
    ("lr", "steps", "name"),
    [(0, 10, "lr"), (-1, 10, "lr"), (np.nan, 10, "lr"), (1.0, 0, "steps")],
)
def test_cosine_decay_refuses_bad_arguments_by_name(lr, steps, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        cosine_decay(lr, steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "lr", [1e-3, np.float64(1e-3), cosine_decay(np.float64(1e-3), 10)]
)
@pytest.mark.parametrize("decay", [0.9, np.float64(0.05)])
def test_training_keeps_the_precision_of_the_parameters(dtype, lr, decay):
    """A NumPy double for a learning rate or a decay must not promote float32."""

    def loss(params, rng):
        return np.sum(params**2), 2 * params

    state = start(np.ones(3, dtype), np.random.default_rng(0))
    state = run(state, 3, loss, lr=lr, ema_decay=decay)
    assert [getattr(state, name).dtype for name in ARRAYS] == [dtype] * 4
    assert isinstance(state.loss, float) and isinstance(state.step, int)


def test_a_step_modifies_nothing_in_place():
    arrays = [np.full(3, float(i)) for i in (1, 2, 3, 4)]
    kept = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    params, grad, m, v = arrays
    adam_step(params, grad, m, v, 3, 0.1)
    ema_step(m, params, 3, 0.9)
    state = start(params, np.random.default_rng(0))
    states = list(islice(fit(noisy, state), 3))
    bits = [(s.params.copy(), s.ema.copy(), dict(s.rng)) for s in states]
    list(islice(fit(noisy, states[0]), 5))
    for a, b in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, b)
    for s, (params, ema, rng) in zip(states, bits, strict=True):
        np.testing.assert_array_equal(s.params, params)
        np.testing.assert_array_equal(s.ema, ema)
        assert s.rng == rng


def test_fit_is_adam_and_the_average_step_by_step():
    state, rng = begin(), np.random.default_rng(0)
    params = ema = state.params
    m = v = np.zeros(5)
    rate = cosine_decay(0.1, 20)
    for step, got in enumerate(islice(fit(noisy, state, lr=rate), 20), 1):
        loss, grad = noisy(params, rng)
        params, m, v = adam_step(params, grad, m, v, step, rate(step))
        ema = ema_step(ema, params, step, 0.999)
        expected = State(step, loss, params, ema, m, v, rng.bit_generator.state)
        assert_same(got, expected)


@pytest.mark.limit
def test_fit_finds_the_least_squares_solution():
    """A network without hidden layers is linear regression, solved by lstsq."""
    net, rng = MLP(d=3, T=1.0, hidden=(), frequencies=1), np.random.default_rng(0)
    x, t, target = (
        rng.standard_normal((40, 3)),
        rng.uniform(size=40),
        rng.normal(size=40),
    )
    target = np.stack([target, x[:, 0] - t, t**2], axis=1)

    def loss(params, rng):
        y, cache = net.forward(params, x, t)
        return np.sum((y - target) ** 2) / 40, net.backward(cache, (y - target) / 20)[0]

    state = start(net.init(rng), rng)
    state = run(state, 3000, loss, lr=cosine_decay(0.1, 3000))
    inputs = np.concatenate([x, net.embed(t), np.ones((40, 1))], axis=1)
    best = np.linalg.lstsq(inputs, target, rcond=None)[0]
    np.testing.assert_allclose(state.params.reshape(6, 3), best, atol=1e-6)
    np.testing.assert_allclose(state.ema.reshape(6, 3), best, atol=1e-3)


@pytest.mark.parametrize("stop", [1, 10, 19])
def test_resuming_from_any_state_is_exact(tmp_path, stop):
    """20 steps in one go, or with a file in between: the same bits."""
    net = MLP(d=2, T=1.0, hidden=(8,), frequencies=2)
    first = start(net.init(np.random.default_rng(0)), np.random.default_rng(7))
    options = {"lr": cosine_decay(0.01, 20), "ema_decay": 0.9}
    states = list(islice(fit(network_loss, first, **options), 20))
    save(tmp_path / "half.npz", run(first, stop, network_loss, **options))
    half, _ = load(tmp_path / "half.npz")
    assert_same(half, states[stop - 1])
    assert_same(run(half, 20 - stop, network_loss, **options), states[-1])
    again = run(states[stop - 1], 20 - stop, network_loss, **options)
    assert_same(again, states[-1])


@pytest.mark.control
def test_resuming_with_a_fresh_generator_or_fresh_moments_is_not_exact():
    half, whole = run(begin(), 10), run(begin(), 20)
    assert_same(run(half, 10), whole)
    zero = np.zeros(5)
    for change in ({"rng": begin().rng}, {"m": zero}, {"v": zero}, {"step": 0}):
        forgetful = State(**(vars(half) | change))
        with np.errstate(divide="ignore"):
            assert not np.array_equal(run(forgetful, 10).params, whole.params)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"])
def test_save_and_load_are_inverse(tmp_path, kind):
    rng = np.random.Generator(getattr(np.random, kind)(3))
    state = start(np.random.default_rng(1).standard_normal(5), rng)
    for moment in (state, run(state, 3)):
        save(tmp_path / "a.npz", moment, net="[2, 64]", note="ünïcode \n'")
        got, extra = load(str(tmp_path / "a.npz"))
        assert extra == {"net": "[2, 64]", "note": "ünïcode \n'"}
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(got, name), getattr(moment, name))
        assert got.step == moment.step
        np.testing.assert_equal(got.loss, moment.loss)
        a, b = restore(got.rng), restore(moment.rng)
        np.testing.assert_array_equal(a.standard_normal(9), b.standard_normal(9))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_checkpoint_keeps_single_precision(tmp_path):
    state = start(np.ones(3, np.float32), np.random.default_rng(0))
    save(tmp_path / "a.npz", state)
    got, extra = load(tmp_path / "a.npz")
    assert_same(got, state)
    assert extra == {}


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def checkpoint(**change):
    """The bytes of a checkpoint, with some of its entries replaced or taken out."""
    state = begin()
    meta = {"step": 0, "loss": 0.0, "rng": state.rng, "extra": {}}
    parts = {"meta": meta, **{name: getattr(state, name) for name in ARRAYS}} | change
    parts["meta"] = json.dumps(parts["meta"])
    return archive(**{k: v for k, v in parts.items() if v is not None})


META = {"step": 0, "loss": 0.0, "rng": begin().rng, "extra": {}}
WRONG = {
    "nothing": b"",
    "text": b"these are not the parameters you are looking for",
    "pickle": pickle.dumps({"params": np.ones(3)}),
    "one array": archive(a=np.ones(3)),
    "cut off": checkpoint()[:-40],
    "cut in half": checkpoint()[:600],
    "objects": checkpoint(m=np.array([{}, None])),
    "no moments": checkpoint(m=None),
    "no generator": checkpoint(meta={"step": 0, "loss": 0.0, "extra": {}}),
    "no step": checkpoint(meta={"loss": 0.0, "rng": META["rng"], "extra": {}}),
    "no extra": checkpoint(meta={"step": 0, "loss": 0.0, "rng": META["rng"]}),
    "bad generator": checkpoint(meta=META | {"rng": {"bit_generator": "Nope"}}),
    "meta is a list": checkpoint(meta=[1, 2]),
    "one byte wrong": bytes(
        b ^ 255 if i == 500 else b for i, b in enumerate(checkpoint())
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, kind):
    path = tmp_path / "wrong.npz"
    path.write_bytes(WRONG[kind])
    with pytest.raises(ValueError, match="wrong.npz is not a refdiff checkpoint"):
        load(path)
    path.write_bytes(checkpoint())  # control: the archive they were made from is fine
    assert_same(load(path)[0], State(**(vars(begin()) | {"loss": 0.0})))


class Armed:
    """An object that would tell of its unpickling."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_loading_never_runs_a_pickle(tmp_path):
    path = tmp_path / "armed.npz"
    bomb = np.empty(1, object)
    bomb[0] = Armed()
    for content in (pickle.dumps(Armed()), checkpoint(params=bomb)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a refdiff checkpoint"):
            load(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.bin"

    def half(file):
        file.write(b"half of the ne")
        raise error("disk on fire")

    with pytest.raises(error):
        atomic_write(path, half)
    assert list(tmp_path.iterdir()) == []
    atomic_write(path, lambda file: file.write(b"old"))
    with pytest.raises(error):
        atomic_write(path, half)
    assert path.read_bytes() == b"old"
    atomic_write(str(path), lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_that_cannot_be_saved_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "a.npz"
    save(path, begin())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save(path, begin(), net=object())
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(bad):
    """The states before it are those of a run in which nothing went wrong."""
    calls, seen = [], []

    def loss(params, rng):
        calls.append(1)
        value, grad = noisy(params, rng)
        return (bad if len(calls) == 4 else value), grad

    with pytest.raises(FloatingPointError, match=f"loss is {bad} at step 4"):
        for state in fit(loss, begin()):
            seen += [state]
    assert [s.step for s in seen] == [1, 2, 3]
    assert_same(seen[-1], run(begin(), 3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_not_spread(bad):
    """The last state that fit yields is good: no nan hides in its parameters."""

    def loss(params, rng):
        grad = np.zeros(5)
        grad[2] = bad
        return 1.0, grad

    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError):
        for state in islice(fit(loss, begin()), 3):
            assert np.isfinite(state.params).all()


def test_fit_refuses_bad_arguments_before_the_first_step():
    for lr in (0, -1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match="^lr must be"):
            fit(noisy, begin(), lr=lr)
    for decay in (-0.1, 1, 1.5, np.nan):
        with pytest.raises(ValueError, match="^ema_decay must be"):
            fit(noisy, begin(), ema_decay=decay)


def test_a_run_starts_with_nothing_done():
    params, rng = np.arange(3.0), np.random.default_rng(0)
    state = start(params, rng)
    assert state.step == 0 and math.isnan(state.loss)
    np.testing.assert_array_equal(state.params, params)
    np.testing.assert_array_equal(state.ema, params)
    assert not state.m.any() and not state.v.any()
    a, b = restore(state.rng), restore(state.rng)
    assert a.random() == b.random() == rng.random()


def test_the_caller_decides_when_to_stop():
    calls = []

    def loss(params, rng):
        calls.append(1)
        return noisy(params, rng)

    states = fit(loss, begin())
    assert not calls
    next(states)
    assert len(calls) == 1
    states.close()


def test_a_gradient_of_another_shape_is_refused():
    """(n, 1) would broadcast the parameters to (n, n)."""
    run = fit(lambda params, rng: (1.0, params[:, None]), begin())
    with pytest.raises(ValueError, match="the gradient must be"):
        next(run)


def test_a_learning_rate_that_is_not_finite_is_refused_when_it_comes():
    rates = {1: 0.1, 2: float("nan")}
    run = fit(lambda params, rng: (1.0, params), begin(), lr=rates.get)
    next(run)
    with pytest.raises(ValueError, match="lr must be finite.* at step 2"):
        next(run)


def test_a_checkpoint_names_only_bit_generators():
    with pytest.raises(ValueError, match="unknown bit generator 'seed'"):
        restore({"bit_generator": "seed"})


def test_a_run_needs_a_generator():
    with pytest.raises(TypeError, match="rng must be"):
        start(np.zeros(3), 0)


def test_the_defaults_of_fit_are_those_of_its_signature():
    """lr = 1e-3 and, long after the warm-up, an average that keeps 0.999."""
    late = replace(begin(), step=1_000_000)
    got = next(fit(lambda params, rng: (1.0, np.ones_like(params)), late))
    said = next(fit(lambda params, rng: (1.0, np.ones_like(params)), late, lr=1e-3))
    np.testing.assert_array_equal(got.params, said.params)
    want = 0.999 * late.ema + 0.001 * got.params
    np.testing.assert_allclose(got.ema, want, rtol=1e-14)


def test_the_temporary_file_is_this_process_own(tmp_path):
    """Two processes that save to one path do not write into one temporary file."""

    def write(file):
        (name,) = [path.name for path in tmp_path.iterdir()]
        assert str(os.getpid()) in name

    atomic_write(tmp_path / "x", write)


def constant(params, rng):
    return 1.0, np.ones_like(params)


@pytest.mark.limit
def test_a_learning_rate_may_be_0_and_not_below():
    states = list(islice(fit(constant, begin(), lr=cosine_decay(1, 2)), 4))
    assert (states[2].params == states[1].params).all()
    with pytest.raises(ValueError, match="lr must be finite and at least 0; got -1"):
        next(fit(constant, begin(), lr=lambda step: -1.0))


@pytest.mark.limit
def test_an_average_without_memory_is_the_parameters():
    state = next(fit(constant, begin(), ema_decay=0))
    assert (state.ema == state.params).all() and state.params.all()
