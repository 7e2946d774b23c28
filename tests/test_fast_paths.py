"""Compiled runs on rarely travelled paths: odd dimensions, rare rows, float32, far out."""

import numba
import numpy as np
import pytest
from test_fast import GRID, LAW, VP, a_mixture, gaussian_score, numpy_run
from test_fast_edges import near

from refdiff import exponential, fast, fast_net, noise, targets
from refdiff.chain import Chain
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.probe import tabulate
from refdiff.samplers import SAMPLERS
from refdiff.schedule import Level


def network_run(net, chain, to_score, n=70, dtype=float):
    rng = np.random.default_rng(1)
    params = net.init(rng, dtype) + 0.1 * rng.standard_normal(net.size).astype(dtype)
    x = rng.standard_normal((n, net.d)).astype(dtype).astype(float)
    got = fast_net.run(chain, net, params, x, to_score=to_score, seed=5)
    z = noise.normals(5, *x.shape, steps=chain.steps, dtype=dtype).astype(float)

    def learned(x, t):
        return net.predict(params.astype(float), x, t)

    *_, want = chain.run(x, to_score(learned), z=z)
    return got, want


def noisy_chains_of_several_rows():
    chains = [s.chain(VP, GRID) for s in SAMPLERS]
    chains = [c for c in chains if c.c.any() and not c.ends.all()]
    assert chains
    return chains


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 3])
def test_an_odd_dimension_with_noise_and_several_rows_a_step(d):
    law, x = a_mixture(3, d), fast.start(1, 70, d)
    for chain in noisy_chains_of_several_rows():
        near(fast.run(chain, law, x, seed=2), numpy_run(chain, law, x, 2)[-1], 1e-11)


@pytest.mark.oracle
@pytest.mark.parametrize("hidden", [(5,), ()])
@pytest.mark.parametrize("d", [1, 3])
def test_a_network_of_odd_dimension_runs(d, hidden):
    net = MLP(d, 20, hidden=hidden, frequencies=3)
    chain = noisy_chains_of_several_rows()[0]
    near(*network_run(net, chain, targets.eps_model), 1e-12)


@pytest.mark.oracle
def test_a_network_runs_in_float32():
    net = MLP(2, 20, hidden=(6,), frequencies=3)
    chain = noisy_chains_of_several_rows()[0]
    got, want = network_run(net, chain, targets.eps_model, dtype=np.float32)
    assert got.dtype == np.float32
    near(got, want, 1e-4)


@pytest.mark.oracle
def test_a_chain_with_memory_runs_with_a_score_that_has_a_part_of_x():
    net = MLP(2, 1.0, hidden=(6,), frequencies=3)
    chain = exponential.dpmpp_2m_chain(VP, np.linspace(1, 0.01, 9))
    near(*network_run(net, chain, targets.x0_model), 1e-12)


@pytest.mark.oracle
def test_times_stay_double_in_float32():
    net = MLP(1, 20, hidden=(), frequencies=2)
    params = np.zeros(net.size, np.float32)
    params[2] = 1  # sin(32 pi t / T)
    x, t = np.zeros((400, 1)), np.random.default_rng(0).uniform(0, 20, 400)
    y = np.sin(32 * np.pi * t / 20)[:, None]
    loss, _ = fast_net.loss_grad(net, params, x, t, y, np.ones(400))
    assert loss < 1e-14


@pytest.mark.parametrize("signal, noise", [(0.0, 1.0), (0.5, 0.0), (1.0, 0.5)])
def test_an_own_score_is_asked_at_signal_1_and_noise_0_alone(signal, noise):
    one = np.ones(1)
    level = signal * one, noise * one
    row = Chain(one[None, None], one[None], one[None], *level, one, one > 0)
    told = f"asks at other levels.*this chain asks at signal {signal:g}"
    told += f", noise {noise:g}$" if signal else "$"
    with pytest.raises(ValueError, match=told):
        fast.run(row, gaussian_score, np.zeros((4, 2)), seed=1)


@numba.njit
def returned(x, out):
    return -x


@numba.njit
def halfway(x, out):
    out[0] = -x[0]


def test_an_own_score_that_fills_nothing_or_a_part_is_refused():
    chain, x = langevin_chain(0.1, 3), fast.start(1, 9, 2)
    for law, row in ((returned, 0), (halfway, 1)):
        with pytest.raises(
            ValueError, match=rf"law must fill out .*; out\[{row}\] was"
        ):
            fast.run(chain, law, x, seed=1)


@numba.njit
def radial(x, out):
    """Score of a density 1 / r, which has no value at 0."""
    for i in range(x.shape[1]):
        square = x[0, i] ** 2 + x[1, i] ** 2
        out[0, i], out[1, i] = -x[0, i] / square, -x[1, i] / square


def test_an_own_score_sees_no_points_but_the_particles():
    """Even where division by zero raises, as in a function that Python called first."""
    x = fast.start(1, 9, 2)
    radial(x.T.copy(), np.zeros((2, 9)))
    got = fast.run(langevin_chain(0.001, 3), radial, x, seed=1)
    assert np.isfinite(got).all()


@pytest.mark.oracle
def test_log_densities_keep_float32():
    x = fast.start(3, 70, 2, dtype=np.float32)
    got = fast.logpdf(LAW, x)
    assert got.dtype == np.float32
    near(got, LAW.logpdf(x.astype(float)), 1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 3])
def test_the_mean_is_asked_for_in_any_dimension(d):
    zero = Level(0.0, 1.0, 2.0)
    chain = tabulate([lambda x, z, model: 0.6 * model(x, zero) + 0.8 * z])
    law, x = a_mixture(3, d), fast.start(1, 9, d)
    near(fast.run(chain, law, x, seed=8), numpy_run(chain, law, x, 8)[-1], 1e-13)


@pytest.mark.limit
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("dtype, far", [(np.float64, 1e149), (np.float32, 3e18)])
def test_logits_are_cut_off_where_it_is_said(d, dtype, far):
    law = Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])
    x = np.zeros((1, d), dtype)
    x[0, 0] = far
    got = fast.logpdf(law, x)
    np.testing.assert_allclose(got, -0.5 * float(x[0, 0]) ** 2, rtol=1e-6)


@pytest.mark.oracle
def test_levels_may_differ_in_their_noise_alone():
    levels = Level(1.0, 0.5, 1.0), Level(1.0, 2.0, 1.0)
    chain = tabulate(
        [lambda x, z, model, at=at: x + 0.3 * model(x, at) for at in levels]
    )
    x = fast.start(1, 9, 2)
    near(fast.run(chain, LAW, x, seed=1), numpy_run(chain, LAW, x, 1)[-1], 1e-13)


@pytest.mark.oracle
def test_a_row_may_ask_for_a_second_register_alone():
    one, no = np.ones(2), np.zeros(2)
    A = np.array([[[1.0, 0], [0, 0]], [[1, 1], [0, 0]]])
    b, c = np.array([[0, 0.3], [0, 0]]), np.zeros((2, 2))
    chain = Chain(A, b, c, one, no, one, np.array([False, True]))
    x = fast.start(1, 9, 2)
    near(fast.run(chain, LAW, x, seed=8), x + 0.3 * LAW.score(x), 1e-13)


@pytest.mark.oracle
def test_what_fills_the_eights_up_weighs_nothing_far_out():
    x = 1e6 * fast.start(1, 9, 2)
    near(fast.score(LAW, x), LAW.score(x), 1e-12)
    np.testing.assert_allclose(fast.logpdf(LAW, x), LAW.logpdf(x), rtol=1e-12)


def test_every_may_be_all_the_steps():
    chain, x = noisy_chains_of_several_rows()[0], fast.start(6, 5, 2)
    path = fast.run(chain, LAW, x, seed=7, every=chain.steps)
    assert path.shape == (2, 5, 2) and (path[0] == x).all()


def test_a_chain_without_steps_leaves_points_where_they_are():
    chain, x = noisy_chains_of_several_rows()[0], fast.start(6, 5, 2)
    none = Chain(*(getattr(chain, name)[:0] for name in Chain.__dataclass_fields__))
    assert (fast.run(none, LAW, x, seed=7) == x).all()
    assert (fast.run(none, LAW, x, seed=7, every=2) == x[None]).all()


def test_what_is_no_mixture_or_holds_no_point_is_named():
    with pytest.raises(TypeError, match="law must be a Mixture; got NoneType"):
        fast.sample(None, 3, 1)
    with pytest.raises(ValueError, match=r"n and d >= 1; got shape \(0, 2\)"):
        fast.logpdf(LAW, np.ones((0, 2)))
