"""The network's passes: by scalar loops, differences and complex steps."""

import cmath
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from support import ALPHA, check_grad

from refdiff import net as net_module
from refdiff.net import MLP, silu, silu_curvature

STEP = 1e-30  # of a complex step: nothing is subtracted, so it may be this small
SHAPES = [((), None), ((5,), None), ((5, 4), 3), ((3, 4, 5), 1)]
SEEDS = st.integers(0, 2**32 - 1)


def network(hidden=(5, 4), out=None, seed=0, n=6):
    """A small network with every parameter away from 0, and inputs for it."""
    rng = np.random.default_rng(seed)
    net = MLP(d=2, T=10.0, hidden=hidden, frequencies=3, out=out)
    params = rng.standard_normal(net.size)
    x, t = rng.standard_normal((n, 2)), rng.uniform(0, 10, n)
    return net, params, x, t, rng.standard_normal((n, out or 2))


def complex_step(f, x):
    """Gradient of a real f at x, entry by entry, to the last digits."""
    grad = np.empty(x.size)
    for i in range(x.size):
        moved = x.astype(complex)
        moved.flat[i] += STEP * 1j
        grad[i] = f(moved).imag / STEP
    return grad.reshape(x.shape)


def assert_close(got, expected, rtol=1e-12):
    """Equal to rtol of the largest entry."""
    np.testing.assert_allclose(
        got, expected, rtol=0, atol=rtol * np.abs(expected).max()
    )


@pytest.mark.gradient
def test_silu_derivative_by_complex_step():
    a = np.linspace(-30, 30, 241)
    value, slope = silu(a)
    numeric = silu(a + STEP * 1j)[0].imag / STEP
    np.testing.assert_allclose(slope, numeric, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(value, a * special.expit(a), rtol=1e-13, atol=1e-14)


@pytest.mark.limit
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silu_is_the_ramp_far_out_and_half_a_line_at_zero(dtype):
    """And its slope loses no digits there: 1 to the last one, however large a is."""
    a = np.array([-1e30, -1e4, 0, 60.3, 1e4 + 0.7, 1e30], dtype)
    value, slope = silu(a)
    np.testing.assert_array_equal(value, np.maximum(a, 0))
    np.testing.assert_array_equal(slope, np.array([0, 0, 0.5, 1, 1, 1], dtype))


@pytest.mark.identity
@given(a=st.floats(-700, 700))
def test_silu_of_a_minus_silu_of_minus_a_is_a(a):
    (up, slope_up), (down, slope_down) = silu(np.array(a)), silu(np.array(-a))
    assert up - down == pytest.approx(a, rel=1e-14, abs=1e-300)
    assert slope_up + slope_down == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("hidden", "out"), SHAPES)
def test_views_cover_the_vector_and_share_its_memory(hidden, out):
    net = MLP(d=2, T=10.0, hidden=hidden, frequencies=3, out=out)
    params = np.arange(net.size, dtype=float)
    pieces = net.views(params)
    flat = np.concatenate([piece.ravel() for piece in pieces.values()])
    np.testing.assert_array_equal(flat, params)
    assert all(np.shares_memory(piece, params) for piece in pieces.values())
    names = [f"{letter}{i}" for i in range(len(hidden) + 1) for letter in "Wb"]
    assert list(pieces) == names
    sizes = [2 + 6, *hidden, out or 2]
    for i in range(len(hidden) + 1):
        assert pieces[f"W{i}"].shape == (sizes[i], sizes[i + 1])
        assert pieces[f"b{i}"].shape == (sizes[i + 1],)
    pieces["b0"][:] = -1
    assert (params == -1).sum() == sizes[1]


def test_an_untrained_network_predicts_zero():
    net, _, x, t, _ = network()
    params = net.init(np.random.default_rng(0))
    np.testing.assert_array_equal(net.forward(params, x, t)[0], np.zeros((6, 2)))


@pytest.mark.law
def test_initial_weights_are_normal_with_variance_one_over_fan_in():
    net = MLP(d=2, T=1.0, hidden=(200, 100))
    pieces = net.views(net.init(np.random.default_rng(0)))
    for name, fan_in in (("W0", 34), ("W1", 200)):
        z = pieces[name].ravel() * math.sqrt(fan_in)
        assert stats.kstest(z, "norm").pvalue > ALPHA
        wrong = pieces[name].ravel() * fan_in  # control: fan_in where its root belongs
        assert stats.kstest(wrong, "norm").pvalue < ALPHA
    assert not any(pieces[name].any() for name in ("b0", "b1", "b2", "W2"))


def test_initial_parameters_depend_on_the_generator_alone():
    net = network()[0]
    one = net.init(np.random.default_rng(5))
    np.testing.assert_array_equal(one, net.init(np.random.default_rng(5)))
    single = net.init(np.random.default_rng(5), np.float32)
    np.testing.assert_array_equal(single, one.astype(np.float32))


def test_the_embedding_tells_neighbouring_times_apart():
    t = np.arange(1001)
    for net, seen in ((MLP(2, 1000), True), (MLP(2, 1000, frequencies=1), False)):
        gap = np.linalg.norm(np.diff(net.embed(t), axis=0), axis=1)
        assert (gap.min() > 0.1) == seen  # one slow wave, the control, blurs them
    code = MLP(2, 1000).embed(t)
    apart = np.linalg.norm(code[:, None] - code[None], axis=2) + 9 * np.eye(len(t))
    assert apart.min() > 0.1


@pytest.mark.oracle
@given(t=st.floats(0, 10))
def test_the_embedding_is_points_on_the_unit_circle(t):
    net = MLP(2, 10.0, frequencies=4)
    turns = [0.5 * 4.0**k for k in range(4)]
    points = [cmath.exp(1j * math.pi * w * t / 10) for w in turns]
    expected = [p.imag for p in points] + [p.real for p in points]
    np.testing.assert_allclose(net.embed(np.array([t]))[0], expected, 0, 1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize(("hidden", "out"), SHAPES)
def test_forward_is_the_formula_written_out(hidden, out):
    """One point, one neuron and one product at a time, in plain Python."""
    net, params, x, t, _ = network(hidden, out)
    y, _ = net.forward(params, x, t)
    widths = [8, *hidden, out or 2]
    for row in range(len(x)):
        waves = [cmath.exp(1j * math.pi * w * t[row] / 10) for w in (0.5, 4, 32)]
        h = [*x[row], *(p.imag for p in waves), *(p.real for p in waves)]
        numbers = iter(params.tolist())
        for i in range(len(hidden) + 1):
            W = [[next(numbers) for _ in range(widths[i + 1])] for _ in h]
            a = [next(numbers) for _ in range(widths[i + 1])]
            for j in range(len(a)):
                a[j] = math.fsum([a[j], *(h[k] * W[k][j] for k in range(len(h)))])
            h = a if i == len(hidden) else [v / (1 + math.exp(-v)) for v in a]
        assert_close(y[row], np.array(h))


def test_one_time_for_all_points_is_that_time_for_each():
    net, params, x, _, dy = network()
    each, cache_each = net.forward(params, x, np.full(6, 2.5))
    for t in (2.5, np.float64(2.5), np.array(2.5), np.array([2.5])):
        y, cache = net.forward(params, x, t)
        np.testing.assert_array_equal(y, each)
        for a, b in zip(
            net.backward(cache, dy), net.backward(cache_each, dy), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        net.forward(params, x, 3)[0], net.forward(params, x, 3.0)[0]
    )
    assert np.abs(net.forward(params, x, 2.6)[0] - each).max() > 1e-3


def test_points_do_not_see_each_other():
    net, params, x, t, _ = network()
    y = net.forward(params, x, t)[0]
    alone = [net.forward(params, x[i : i + 1], t[i : i + 1])[0][0] for i in range(6)]
    assert_close(y, np.array(alone))
    assert net.forward(params, x[:0], t[:0])[0].shape == (0, 2)


def test_predict_is_forward_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    net, params, *_ = network()
    x = rng.standard_normal((1300, 2))
    whole = net.forward(params, x, 2.5)[0]
    for block in (512, 1, 1300, 7, 5000):
        monkeypatch.setattr(net_module, "BLOCK", block)
        assert_close(net.predict(params, x, 2.5), whole)
    assert net.predict(params, x[:0], 2.5).shape == (0, 2)


@pytest.mark.gradient
@pytest.mark.parametrize(("hidden", "out"), SHAPES)
def test_backward_is_the_gradient(hidden, out):
    """Of loss = sum dy y, in params and in x: complex step, and differences."""
    net, params, x, t, dy = network(hidden, out)

    def loss(params, x):
        return np.sum(dy * net.forward(params, x, t)[0])

    dparams, dx = net.backward(net.forward(params, x, t)[1], dy)
    assert_close(dparams, complex_step(lambda p: loss(p, x), params))
    assert_close(dx, complex_step(lambda v: loss(params, v), x))
    check_grad(lambda p: loss(p, x), params, dparams)
    check_grad(lambda v: loss(params, v), x, dx)


@pytest.mark.gradient
def test_backward_of_a_nonlinear_loss_takes_its_own_gradient():
    net, params, x, t, target = network((5, 4))

    def loss(params, x):
        return np.sum((net.forward(params, x, t)[0] - target) ** 4)

    y, cache = net.forward(params, x, t)
    dparams, dx = net.backward(cache, 4 * (y - target) ** 3)
    assert_close(dparams, complex_step(lambda p: loss(p, x), params))
    assert_close(dx, complex_step(lambda v: loss(params, v), x))


@pytest.mark.control
def test_backward_with_the_sigmoid_for_its_slope_is_not_the_gradient():
    """The slope of SiLU is not s alone, as if a and s(a) did not both move."""
    net, params, x, t, dy = network()
    cache = net.forward(params, x, t)[1]
    pieces = net.views(params)
    sigmoid = [
        special.expit(cache.inputs[i] @ pieces[f"W{i}"] + pieces[f"b{i}"])
        for i in range(2)
    ]
    wrong, dx = net.backward(cache._replace(slopes=sigmoid), dy)
    with pytest.raises(AssertionError):
        check_grad(lambda p: np.sum(dy * net.forward(p, x, t)[0]), params, wrong)
    with pytest.raises(AssertionError):
        check_grad(lambda v: np.sum(dy * net.forward(params, v, t)[0]), x, dx)
    last = net.views(wrong)["W2"]  # only the last layer is untouched by the slopes
    assert_close(last, net.views(net.backward(cache, dy)[0])["W2"])


@pytest.mark.gradient
@pytest.mark.parametrize(("hidden", "out"), SHAPES)
def test_jvp_is_the_derivative_along_a_direction(hidden, out):
    net, params, x, t, _ = network(hidden, out)
    v = np.random.default_rng(1).standard_normal(x.shape)
    y, cache = net.forward(params, x, t)
    dy = net.jvp(cache, v)
    assert_close(dy, net.forward(params, x + STEP * 1j * v, t)[0].imag / STEP)
    ahead, behind = (net.forward(params, x + h * v, t)[0] for h in (1e-5, -1e-5))
    assert_close(dy, (ahead - behind) / 2e-5, rtol=1e-7)
    assert_close(net.jvp(cache, -3 * v), -3 * dy)
    assert dy.shape == y.shape


@pytest.mark.identity
@given(seed=SEEDS, shape=st.sampled_from(SHAPES))
def test_backward_is_the_transpose_of_jvp(seed, shape):
    """<dy, J dx> = <J^T dy, dx>."""
    net, params, x, t, dy = network(*shape, seed=seed)
    v = np.random.default_rng(seed).standard_normal(x.shape)
    cache = net.forward(params, x, t)[1]
    forwards, back = net.jvp(cache, v), net.backward(cache, dy)[1]
    size = np.sum(np.abs(dy * forwards)) + np.sum(np.abs(back * v))
    assert abs(np.sum(dy * forwards) - np.sum(back * v)) <= 1e-12 * size


@pytest.mark.gradient
def test_silu_curvature_is_the_derivative_of_the_slope():
    """By complex step of the slope, and by the second derivative at 50 digits."""
    a = np.linspace(-40, 40, 321)
    got = silu_curvature(a)
    numeric = silu(a + STEP * 1j)[1].imag / STEP
    at_50 = [mpmath.diff(lambda u: u / (1 + mpmath.exp(-u)), v, 2) for v in a[::20]]
    bound = 4e-16 * np.maximum(1, np.abs(a))
    assert (np.abs(got - numeric) <= bound).all()
    assert (np.abs(got[::20] - np.array(at_50, float)) <= bound[::20]).all()
    np.testing.assert_array_equal(
        silu_curvature(np.array([-1e30, 1e30, 0])), [0, 0, 0.5]
    )
    assert silu_curvature(np.float32([1e30, -3])).dtype == np.float32


def square(hidden, d, frequencies=3, seed=0, n=4):
    """A network from d to d dimensions, at full strength, and inputs for it."""
    rng = np.random.default_rng(seed)
    net = MLP(d, 10.0, hidden, frequencies)
    params = rng.standard_normal(net.size)
    return net, params, rng.standard_normal((n, d)), rng.uniform(0, 10, n)


DEPTHS = [((), 2), ((5,), 1), ((5, 4), 2), ((3, 4, 5), 3), ((6, 5), 1)]


@pytest.mark.gradient
@pytest.mark.parametrize(("hidden", "d"), DEPTHS)
@pytest.mark.parametrize("frequencies", [0, 3])
def test_divergence_is_the_trace_of_the_jacobian(hidden, d, frequencies):
    """The whole Jacobian of each point: complex steps, one coordinate at a time."""
    net, params, x, t = square(hidden, d, frequencies)
    jacobian = np.empty((len(x), d, d))
    for j in range(d):
        moved = x + STEP * 1j * np.eye(d)[j]
        jacobian[:, :, j] = net.forward(params, moved, t)[0].imag / STEP
    got = net.divergence(net.forward(params, x, t)[1])
    assert got.shape == (len(x),)
    assert_close(got, np.trace(jacobian, axis1=1, axis2=2))


@pytest.mark.gradient
@pytest.mark.parametrize(("hidden", "d"), DEPTHS)
@pytest.mark.parametrize("frequencies", [0, 3])
@pytest.mark.parametrize("time", ["each", "one"])
def test_backward_through_the_jvp_is_the_gradient(hidden, d, frequencies, time):
    """Of a scalar that is nonlinear in y and J dx together."""
    net, params, x, t = square(hidden, d, frequencies)
    t = t if time == "each" else 2.5
    dx, a, b = np.random.default_rng(1).standard_normal((3, *x.shape))

    def loss(params):
        y, cache = net.forward(params, x, t)
        return np.sum(a * y + b * y**2 * net.jvp(cache, dx) + net.jvp(cache, dx) ** 3)

    y, cache = net.forward(params, x, t)
    moved = net.jvp(cache, dx)
    arrays = (params, x, dx, *cache.inputs, *cache.slopes)
    kept = [array.copy() for array in arrays]
    got = net.backward_jvp(cache, dx, a + 2 * b * y * moved, b * y**2 + 3 * moved**2)
    assert_close(got, complex_step(loss, params))
    check_grad(loss, params, got, step=1e-6)
    for old, new in zip(kept, arrays, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.identity
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), k=st.floats(-5, 5))
def test_backward_through_the_jvp_is_linear_and_holds_backward(seed, shape, k):
    """In (dy, ddy), in dx beside ddy alone; with ddy = 0 or dx = 0 it is `backward`."""
    net, params, x, t, dy = network(*shape, seed=seed)
    rng = np.random.default_rng(seed)
    (dx, other), ddy = rng.standard_normal((2, *x.shape)), rng.standard_normal(dy.shape)
    cache = net.forward(params, x, t)[1]
    first, none = net.backward_jvp(cache, dx, dy, 0 * dy), 0 * dy
    assert_close(first, net.backward(cache, dy)[0])
    assert_close(net.backward_jvp(cache, 0 * dx, dy, none), first)
    second = net.backward_jvp(cache, dx, none, ddy)
    assert_close(net.backward_jvp(cache, dx, k * dy, ddy), k * first + second)
    third = net.backward_jvp(cache, other, none, ddy)
    together = net.backward_jvp(cache, dx + k * other, none, ddy)
    size = np.abs(second).max() + abs(k) * np.abs(third).max()
    assert (np.abs(together - second - k * third) <= 1e-12 * size).all()


@pytest.mark.control
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_backward_through_the_jvp_without_the_curvature_is_not_the_gradient(
    hidden,
    monkeypatch,
):
    """But for the last layer, and for a network that has no other."""
    net, params, x, t = square(hidden, 2)
    dx, ddy = np.random.default_rng(1).standard_normal((2, *x.shape))

    def loss(params):
        return np.sum(ddy * net.jvp(net.forward(params, x, t)[1], dx))

    cache = net.forward(params, x, t)[1]
    right = net.backward_jvp(cache, dx, 0 * ddy, ddy)
    monkeypatch.setattr(net_module, "silu_curvature", np.zeros_like)
    wrong = net.backward_jvp(cache, dx, 0 * ddy, ddy)
    check_grad(loss, params, right, step=1e-6)
    last = f"W{len(hidden)}"
    assert_close(net.views(wrong)[last], net.views(right)[last])
    if hidden:
        with pytest.raises(AssertionError):
            check_grad(loss, params, wrong, step=1e-6)
    else:
        np.testing.assert_array_equal(wrong, right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_of_derivatives_keep_the_precision_of_the_parameters(dtype):
    net, params, x, t = square((5, 4), 2)
    rng = np.random.default_rng(1)
    dx, dy, ddy = rng.standard_normal((3, *x.shape))
    cache = net.forward(params.astype(dtype), x.astype(dtype), t)[1]
    got = net.backward_jvp(cache, dx.astype(dtype), dy, ddy)
    trace = net.divergence(cache)
    assert got.dtype == trace.dtype == dtype
    exact = net.forward(params, x, t)[1]
    assert_close(got, net.backward_jvp(exact, dx, dy, ddy), rtol=1e-5)
    assert_close(trace, net.divergence(exact), rtol=1e-5)
    with pytest.raises(ValueError, match=r"dx must be \(4, 2\)"):
        net.backward_jvp(cache, dx[:1], dy, ddy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_pass_keeps_the_precision_of_the_parameters(dtype):
    net, params, x, t, dy = network()
    params, x = params.astype(dtype), x.astype(dtype)
    for time in (t, t.astype(np.float32), 2.5, np.float64(2.5), 3):
        y, cache = net.forward(params, x, time)
        dparams, dx = net.backward(cache, dy)
        assert net.predict(params, x.astype(float), 2.5).dtype == dtype
        for array in (y, dparams, dx, net.jvp(cache, x), *cache.inputs, *cache.slopes):
            assert array.dtype == dtype
    assert net.init(np.random.default_rng(0), dtype).dtype == dtype


@pytest.mark.limit
def test_single_precision_follows_double():
    net, params, x, t, dy = network()
    single = net.forward(params.astype(np.float32), x.astype(np.float32), t)
    double = net.forward(params, x, t)
    assert_close(single[0], double[0], rtol=1e-5)
    for a, b in zip(
        net.backward(single[1], dy), net.backward(double[1], dy), strict=True
    ):
        assert_close(a, b, rtol=1e-5)


def test_no_pass_modifies_its_inputs():
    net, *arrays = network()
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    params, x, t, dy = arrays
    _, cache = net.forward(params, x, t)
    kept = [a.copy() for a in (*cache.inputs, *cache.slopes)]
    first = net.backward(cache, dy)
    net.jvp(cache, x)
    net.predict(params, x, 2.5)
    second = net.backward(cache, dy)
    for a, b in zip((*arrays, *first), (*before, *second), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip((*cache.inputs, *cache.slopes), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_shapes_are_refused_by_name():
    net, params, x, t, dy = network()
    for bad in (params[:-1], params[None], np.zeros(0)):
        with pytest.raises(ValueError, match=r"params must be \(79,\)"):
            net.views(bad)
        with pytest.raises(ValueError, match="params must be"):
            net.forward(bad, x, t)
    for bad in (x[:, :1], x[0], x[None], np.zeros((4, 3))):
        with pytest.raises(ValueError, match=r"x must be \(n, 2\)"):
            net.forward(params, bad, 2.5)
    cache = net.forward(params, x, t)[1]
    for bad in (dy[:, :1], dy[:-1]):
        with pytest.raises(ValueError):
            net.backward(cache, bad)
    with pytest.raises(ValueError):
        net.forward(params, x, t[:-1])


def test_bad_values_are_refused_by_name():
    with pytest.raises(ValueError, match="T must be"):
        MLP(2, 0.0)
    with pytest.raises(ValueError, match="width 1 must be"):
        MLP(2, 1.0, (0,))
    net = MLP(2, 10, (4,), 1)
    params, x = np.zeros(net.size), np.zeros((3, 2))
    with pytest.raises(ValueError, match="x must be finite"):
        net.forward(params, x * np.nan, 1)
    with pytest.raises(ValueError, match="t must be a number"):
        net.forward(params, x, np.ones(2))
    _, cache = net.forward(params, x, 1)
    with pytest.raises(ValueError, match="dx must be"):
        net.jvp(cache, np.zeros(2))


def test_the_default_network_is_three_layers_of_128():
    assert MLP(2, 100).widths == (34, 128, 128, 128, 2)
