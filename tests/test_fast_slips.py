"""Slips that a saboteur made in what compiled runs are given, and no other test saw."""

import hashlib
import os

import numpy as np
import pytest
from test_fast import GRID, LAW, VP, a_mixture, numpy_run
from test_fast_edges import near
from test_fast_far import agrees
from test_fast_paths import network_run

from refdiff import _share, _tables, compiled, elementary, fast, noise, targets
from refdiff.chain import Chain
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.samplers import SAMPLERS

EYE = np.eye(2)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("i", [0, 35, 69])
def test_a_particle_far_out_is_seen_wherever_it_is_in_its_block(i, d):
    law, x = a_mixture(11, d), fast.start(2, 70, d)
    x[i] *= 1000
    assert agrees(law, x, 100)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("r", [-0.5, 0.5, -1e-9])
def test_one_correlated_component_among_round_ones_is_enough(r, which, d):
    covs = np.stack([np.eye(d)] * 9)
    covs[which, -1, 0] = covs[which, 0, -1] = r
    law = Mixture(np.full(9, 1 / 9), np.arange(9.0)[:, None] * np.ones(d), covs)
    assert agrees(law, fast.start(1, 20, d) + law.means[which], 60)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_chain_of_any_numbers_is_the_numpy_drivers(d):
    """Four registers, most of which are made of some others, of either sign."""
    rng, rows, R = np.random.default_rng(d), 12, 4
    A = rng.uniform(-1, 1, (rows, R, R)) * (rng.uniform(size=(rows, R, R)) < 0.6)
    b, c = 0.3 * rng.uniform(-1, 1, (rows, R)), rng.uniform(-1, 1, (rows, R))
    one, ends = np.ones(rows), rng.uniform(size=rows) < 0.5
    ends[-1] = True
    chain = Chain(A, b, c, one, 0 * one, one, ends)
    law, x = a_mixture(3, d), fast.start(1, 70, d)
    near(fast.run(chain, law, x, seed=2, every=1), numpy_run(chain, law, x, 2), 1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
def test_a_network_whose_score_has_a_part_of_x_runs_in_every_sampler(sampler):
    net = MLP(2, 1.0, hidden=(6,), frequencies=3)
    near(*network_run(net, sampler.chain(VP, GRID), targets.x0_model), 1e-11)


@pytest.mark.identity
def test_noise_in_a_second_register_alone_is_drawn():
    one = np.ones(2)
    A = np.array([[[1.0, 0], [0, 0]], [[1, 1], [0, 0]]])
    c = np.array([[0, 0.3], [0, 0]])
    chain = Chain(A, 0 * c, c, one, 0 * one, one, np.array([False, True]))
    x = fast.start(1, 9, 2)
    near(fast.run(chain, LAW, x, seed=8), x + 0.3 * noise.normals(8, 9, 2)[0], 1e-13)


@pytest.mark.identity
@pytest.mark.parametrize("stream", [noise.STEPS, noise.STARTS])
def test_a_sample_shares_no_normals_with_a_run_or_a_start(stream):
    x = np.abs(fast.sample(Mixture([1.0], np.zeros((1, 2)), EYE[None]), 100, 3))
    assert not np.isclose(x, np.abs(noise.normals(3, 100, 2, stream=stream)[0])).any()
    same = np.abs(noise.normals(3, 100, 2, stream=noise.SAMPLES)[0])  # control
    assert np.isclose(x, same).all()


@pytest.mark.oracle
@pytest.mark.parametrize("signal", [0.5, 2.0])
def test_where_weights_are_cut_off_is_each_levels_own(signal):
    """A broad level before one where a narrow component pulls 1e12 times as strongly."""
    covs = np.array([1e-24, 1])[:, None, None] * EYE
    x = (np.linspace(12, 16, 300)[:, None] * np.array([1e-12, 0])).astype(np.float32)
    A, b, one = np.array([[[1.0]], [[0]]]), np.array([[1e-30], [1]]), np.ones(2)
    levels = np.array([signal, 1]), np.array([2.0, 0])
    chain, eps = Chain(A, b, 0 * b, *levels, one, one > 0), 300 * np.finfo("f4").eps
    for apart in np.linspace(0.5, 6, 12):
        law = Mixture([0.5, 0.5], [[0.0, 0], [-apart, 0]], covs)
        got, want = fast.run(chain, law, x, seed=1), law.score(x.astype(float))
        assert (np.abs(got - want) <= eps * np.abs(want).max(1, keepdims=True)).all()


@pytest.mark.oracle
def test_a_narrow_component_on_a_wide_ones_mean_is_not_cut_off_too_soon():
    law = Mixture(
        [0.5, 0.5], np.zeros((2, 2)), np.array([1e-24, 1])[:, None, None] * EYE
    )
    x = (np.linspace(0, 16, 300)[:, None] * np.array([1e-12, 0])).astype(np.float32)
    eps, want = 300 * np.finfo("f4").eps, law.score(x.astype(float))
    gap = np.abs(fast.score(law, x) - want)
    assert (gap <= eps * np.abs(want).max(axis=1, keepdims=True)).all()


@pytest.mark.identity
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e15])
def test_the_highest_log_of_a_level_is_within_the_digits(unit, dtype):
    covs = unit**2 * np.array([1e-40 if dtype == np.float64 else 1e-9, 4])
    law = Mixture([0.5, 0.5], np.zeros((2, 2)), covs[:, None, None] * EYE)
    levels = np.array([1.0, 0.5]), np.array([0.0, 3.0])
    table, _, _ = _tables.tables(law, *levels, dtype)
    digits = elementary.numbers(dtype).digits
    assert (np.abs(table[:, :, 0].max(axis=1)) <= digits * (1 + 1e-9)).all()


@pytest.mark.parametrize("mean", [1e39, -1e39])
def test_means_of_either_sign_beyond_float32_are_refused(mean):
    law = Mixture([1.0], [[mean, 0]], EYE[None])
    with pytest.raises(ValueError, match="numbers of float32"):
        fast.score(law, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("seed", [1.5, -1, True, "1", 2**63])
def test_a_sample_refuses_what_is_no_seed(seed):
    with pytest.raises((TypeError, ValueError), match="seed must be"):
        fast.sample(LAW, 1, seed)


@pytest.mark.identity
@pytest.mark.parametrize(("dtype", "digest"), [("f8", "2e5ec89b"), ("f4", "1cfbbc45")])
def test_two_hundred_thousand_normals_keep_their_bits(dtype, digest):
    """Operations of IEEE 754 alone have the same on every machine."""
    bits = noise.normals(1, 100_000, 2, dtype=dtype).tobytes()
    assert hashlib.sha256(bits).hexdigest().startswith(digest)


def test_threads_are_as_many_as_numbas_and_run_at_once(monkeypatch):
    import numba

    def pieces(threads=None):
        found = []
        _share.shared(threads, 1000, 1, lambda lo, hi: found.append(lo))
        return len(found)

    assert pieces() == _share.PIECES * numba.config.NUMBA_NUM_THREADS
    assert all(options["nogil"] for options in (compiled.EXACT, compiled.CACHED))
    monkeypatch.setenv("NUMBA_NUM_THREADS", " 5")
    assert pieces() == 5 * _share.PIECES and pieces(3) == 3 * _share.PIECES
    monkeypatch.setenv("NUMBA_NUM_THREADS", "")
    alone = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    assert pieces() == _share.PIECES * (alone or os.cpu_count())
    for bad in ("0", "-1", "x", "1.5"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", bad)
        with pytest.raises(ValueError, match=f"NUMBA_NUM_THREADS must .* got '{bad}'"):
            pieces()
