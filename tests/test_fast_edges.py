"""Compiled runs at edges: many components, many blocks, odd widths, far-out points."""

from dataclasses import replace

import mpmath
import numba
import numpy as np
import pytest
from scipy import stats
from support import ALPHA
from test_fast import LAW, MANY, a_mixture, numpy_run
from test_fast_net import (
    NET,
    batch,
    by_numpy,
    distance,
    points,
    replayed,
    sampled,
    weights,
)

from refdiff import _tables, fast, fast_net, kernel, noise, sde, targets, train
from refdiff.chain import Chain
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.samplers import SAMPLERS

mpmath.mp.dps = 50


def near(got, want, digits):
    np.testing.assert_allclose(got, want, rtol=0, atol=digits * np.abs(want).max())


@pytest.mark.oracle
@pytest.mark.parametrize("K", [1, 7, 8, 9, 17])
def test_components_in_one_group_of_eight_or_more(K):
    law, x = a_mixture(K, 2), fast.start(4, 65, 2)
    near(fast.score(law, x), law.score(x), 1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("power", [10, 20, 30, 40])
def test_nearly_flat_covariances_cost_no_digits_that_their_root_has(power):
    """U D U' of whole powers of two: the root is exact, the inverse of U is large."""
    U, D = np.array([[1, 0, 0], [1, 1, 0], [0, 2.0 ** (power // 2), 1]]), np.ones(3)
    D[1] = 2.0**-power
    law = Mixture(np.ones(1), np.zeros((1, 3)), (U @ np.diag(D) @ U.T)[None])
    x = np.random.default_rng(power).standard_normal((50, 3)) * np.sqrt(D) @ U.T
    inverse = mpmath.inverse(mpmath.matrix(U.tolist()))
    for row, got in zip(x, fast.score(law, x), strict=True):
        white = inverse * mpmath.matrix(row.tolist())
        want = -inverse.T * mpmath.matrix(
            [w / d for w, d in zip(white, D, strict=True)]
        )
        near(got, np.array([float(w) for w in want]), 2e-14)


@pytest.mark.oracle
def test_log_density_of_many_blocks():
    x = fast.start(3, 2100, 2)
    near(fast.logpdf(LAW, x, threads=1), LAW.logpdf(x), 2e-14)


@pytest.mark.law
@pytest.mark.parametrize("d", [2, 3])
def test_samples_of_one_component_have_its_covariance(d):
    """Far from round, so that each number of its root counts."""
    law = Mixture(np.ones(1), np.ones((1, d)), 0.1 * np.eye(d)[None] + 0.9)
    x = fast.sample(law, MANY, 5) - 1
    white = np.linalg.solve(np.linalg.cholesky(law.cov), x.T)
    error = np.abs(white @ white.T / MANY - np.eye(d))
    assert error.max() < stats.norm.isf(ALPHA / d**2) * np.sqrt(2 / MANY)


@pytest.mark.limit
@pytest.mark.parametrize("d", [2, 3])
def test_scores_are_nan_where_every_density_is_cut_off_and_finite_before(d):
    for dtype, near, far in ((np.float32, 1e17, 1e20), (float, 1e149, 1e152)):
        x = np.repeat(np.array([[near], [far]], dtype), d, axis=1)
        with np.errstate(all="ignore"):
            inside, beyond = fast.score(a_mixture(3, d), x)
        assert np.isfinite(inside).all() and np.isnan(beyond).all()


@pytest.mark.limit
@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("noisy", [False, True])
def test_a_run_that_diverges_ends_in_nan_and_not_at_a_mode(d, noisy, dtype):
    """x <- x + 8 score(x), which is -7 x for N(0, I)."""
    law = Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])
    chain = langevin_chain(8.0, 400)
    chain = replace(chain, c=noisy * chain.c)
    with np.errstate(all="ignore"):
        assert np.isnan(fast.run(chain, law, np.ones((100, d), dtype), seed=1)).all()


def chain_of(A, b):
    """Rows of one register or more that add no noise and ask at signal 1, noise 0."""
    A, b = np.array(A, float), np.array(b, float)
    one, ends = np.ones(len(A)), np.ones(len(A), bool)
    return Chain(A, b, 0 * b, one, 0 * one, one, ends)


@pytest.mark.identity
def test_what_a_block_leaves_behind_is_not_in_the_next():
    """Neither a score that is no number, where a row asks none, nor another register."""
    narrow, settings = Mixture([1.0], [[0.0]], [[[1e-4]]]), {"block": 64, "threads": 1}
    x = np.ones((128, 1))
    x[0] = 1e308
    idle_then_score = chain_of([[[1]], [[0]]], [[0], [1]])
    end = fast.run(idle_then_score, narrow, x, seed=1, **settings)
    assert np.isnan(end[0]) and (end[1:] == -1e4).all()
    doubled = chain_of(2 * [[[1, 1], [1, 0]]], np.zeros((2, 2)))
    x = fast.start(1, 200, 1)
    assert (fast.run(doubled, narrow, x, seed=1, **settings) == 2 * x).all()


@pytest.mark.identity
@pytest.mark.parametrize("every", [None, 1])
def test_a_chain_of_no_rows_leaves_points_as_they_are(every):
    still = chain_of(np.zeros((0, 1, 1)), np.zeros((0, 1)))
    x = fast.start(1, 9, 2)
    end = fast.run(still, a_mixture(3, 2), x, seed=1, every=every)
    np.testing.assert_array_equal(end, x if every is None else x[None])


@pytest.mark.identity
def test_points_that_may_only_be_read_or_lie_apart_are_points():
    x = fast.start(1, 9, 2)
    want = fast.score(a_mixture(3, 2), x)
    apart, still = np.repeat(x, 2, axis=1)[:, ::2], x.copy()
    still.flags.writeable = False
    for same in (apart, still, np.asfortranarray(x)):
        assert (fast.score(a_mixture(3, 2), same) == want).all()


@pytest.mark.identity
def test_blocks_are_whole_64s_that_hold_all_points_and_no_more_than_they_need():
    for most in (1, 63, 64, 65, 384, 10**6):
        for n in (1, 2, 63, 64, 65, 383, 385, 1000, 100_001):
            size = _tables.block(n, most)
            assert size % 64 == 0 and 64 <= size < most + 64
            blocks = -(-n // size)
            assert blocks == -(-n // (64 * -(-most // 64))) or size == 64
            assert blocks * size - n < 64 * blocks


@pytest.mark.identity
@pytest.mark.parametrize("i", [0, 1, 5])
def test_a_word_at_the_edge_of_two_components_is_the_second_ones(i):
    """Where u is the first's weight, of [0, weight) it is no member."""
    keys = [np.array([key], np.uint64) for key in (3, noise.SAMPLES, i)]
    state = noise.seeded(*keys)
    for _ in range(3):  # two for the normal and the one beside it, then u
        word, *state = noise.xoshiro(*state)
    (u,) = noise.mantissa(word) - 1
    for weight, component in ((u, 1), (np.nextafter(u, 1), 0)):
        weights = np.array([weight, 1 - weight])
        law = Mixture(weights, np.array([[0.0], [1.0]]), np.zeros((2, 1, 1)))
        assert fast.sample(law, i + 1, 3)[i, 0] == component


@pytest.mark.identity
def test_components_of_next_to_no_weight_are_not_drawn_wherever_they_stand():
    """Beyond them the edge is 1, and no word is."""
    for shares in ([1.0, 1e-300], [1e-300, 1.0], [0.5, 0.5, 1e-300, 1e-300]):
        K = len(shares)
        law = Mixture(
            np.array(shares), np.arange(1.0 * K)[:, None], np.zeros((K, 1, 1))
        )
        drawn = np.unique(fast.sample(law, 1000, 1))
        np.testing.assert_array_equal(drawn, np.flatnonzero(law.weights > 0.1))


@pytest.mark.identity
@pytest.mark.parametrize(("n", "at"), [(64, 0), (200, 128), (130, 0)])
def test_what_is_loaded_is_what_is_there_and_copies_of_its_end(n, at):
    """In Python, which sees what is read beyond the end of an array."""
    x, X = np.arange(2.0 * n).reshape(n, 2), np.full((2, 2, 128), np.nan)
    kernel.load(X, x, at, n)
    some = min(n - at, 128)
    np.testing.assert_array_equal(X[0, :, :some], x[at : at + some].T)
    assert (X[0, :, some:] == x[-1:].T).all() and not X[1].any()
    y = np.zeros((n + 1, 2))
    kernel.unload(X[0], y[:n], at, n)
    np.testing.assert_array_equal(y[at : at + some], x[at : at + some])
    assert not y[:at].any() and not y[at + some :].any()


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("groups", [(0, 100), (100, 0), (0, 100, 0), (100, 100, 0)])
def test_a_group_of_eight_that_weighs_nothing_leaves_the_others_score(groups, dtype):
    means = np.concatenate([a_mixture(8, 2).means + far for far in groups])
    law = Mixture(
        np.full(len(means), 1 / len(means)),
        means,
        np.tile(np.eye(2), (len(means), 1, 1)),
    )
    x = fast.start(1, 70, 2, dtype=dtype)
    near(fast.score(law, x), law.score(x.astype(float)), 20 * np.finfo(dtype).eps)
    near(fast.logpdf(law, x), law.logpdf(x.astype(float)), 20 * np.finfo(dtype).eps)


@numba.njit
def inward(x, out):
    """Score of N(0, d I)."""
    for j in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[j, i] = -x[j, i] / x.shape[0]


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 3])
def test_an_own_score_sees_as_many_rows_as_there_are_dimensions(d):
    chain, x = langevin_chain(0.05, 7), fast.start(6, 70, d)
    law = Mixture(np.ones(1), np.zeros((1, d)), d * np.eye(d)[None])
    near(fast.run(chain, inward, x, seed=7), numpy_run(chain, law, x, 7)[-1], 1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("hidden", "frequencies"), [((13, 9), 4), ((4,), 8), ((), 3)], ids=str
)
def test_networks_whose_widths_are_odd_or_whose_inputs_are_widest(hidden, frequencies):
    net = MLP(2, 20, hidden=hidden, frequencies=frequencies)
    rng = np.random.default_rng(1)
    params = net.init(rng) + 0.1 * rng.standard_normal(net.size)
    x, t, y, weight = batch(500)
    _, grad = fast_net.loss_grad(net, params, x, t, y, weight)
    y_hat, cache = net.forward(params, x, t)
    want, _ = net.backward(cache, 2 * weight[:, None] * (y_hat - y) / len(x))
    near(grad, want, 1e-13)


@pytest.mark.oracle
def test_a_network_runs_chains_with_noise_and_several_rows_a_step():
    process, grid = sde.vp(sde.linear_beta()), np.linspace(1, 0.01, 6)
    chains = [sampler.chain(process, grid) for sampler in SAMPLERS]
    chains = [chain for chain in chains if chain.c.any() and not chain.ends.all()]
    assert chains
    for chain in chains:
        x = points(70)
        want = replayed(weights(), x, chain, targets.eps_model)
        near(sampled(weights(), x, chain), want, 1e-12)


@pytest.mark.oracle
def test_training_sums_the_gradients_of_all_lanes():
    """A batch of 1000 is six of them; 130, as elsewhere, are two."""
    start = train.start(weights(), np.random.default_rng(3))
    plain = train.fit(lambda p, rng: by_numpy(p, *batch(1000, rng)), start)
    ours = fast_net.fit(NET, lambda rng: batch(1000, rng), start)
    for _ in range(3):
        one, two = next(ours), next(plain)
    assert distance(one, two) < 1e-9
