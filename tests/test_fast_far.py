"""Compiled densities and scores far out, where components are taken one by one."""

import os
import threading
import time

import numpy as np
import pytest
from test_fast import a_mixture, numpy_run
from test_fast_edges import near

from refdiff import _share, _tables, elementary, fast
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture
from refdiff.probe import tabulate
from refdiff.schedule import Level

DTYPES = [np.float64, np.float32]
ANYWHERE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def narrow_and_wide(d, unit=1.0):
    """Components whose widths span a hundredfold, none of them round."""
    rng = np.random.default_rng(d)
    sizes = unit * np.array([0.03, 0.3, 3.0])
    roots = np.eye(d) + 0.3 * rng.standard_normal((3, d, d))
    covs = sizes[:, None, None] ** 2 * roots @ roots.swapaxes(1, 2)
    return Mixture([0.5, 0.3, 0.2], 2 * unit * rng.standard_normal((3, d)), covs)


def outward(law, bits, dtype):
    """Points on a ray whose densities lie about so many bits below that at its start."""
    wide = np.sqrt(law.covs[-1].max())
    steps = wide * np.sqrt(2 * np.log(2) * np.asarray(bits, float))
    ray = np.ones(law.d) / np.sqrt(law.d)
    return (law.means[-1] + steps[:, None] * ray).astype(dtype)


def agrees(law, x, digits):
    """Log density and score at x are the mixture's, to so many units of rounding."""
    eps = digits * np.finfo(x.dtype).eps
    want, slope = law.logpdf(x.astype(float)), law.score(x.astype(float))
    np.testing.assert_allclose(fast.logpdf(law, x), want, rtol=eps, atol=eps)
    scale = np.abs(slope).max(axis=1, keepdims=True)
    return (np.abs(fast.score(law, x) - slope) <= eps * scale).all()


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_log_density_and_score_hold_on_both_sides_of_where_weights_are_cut(d, dtype):
    law, num = narrow_and_wide(d), elementary.numbers(dtype)
    x = outward(law, np.linspace(0, -1.6 * float(num.floor), 700), dtype)
    _, (small,), (shift,) = _tables.tables(law, np.ones(1), np.zeros(1), dtype)
    bits = (law.logpdf(x.astype(float)) - shift) / np.log(2)
    assert bits.max() > -20 > np.log2(small) > num.floor > bits.min()
    assert agrees(law, x, 60)


@pytest.mark.oracle
@pytest.mark.parametrize("apart", [5.0, 1e3])
@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_narrow_component_elsewhere_does_not_pull(dtype, ratio, apart):
    """Its pull is ratio^2 times as strong: no weight may be larger than it is."""
    for d in (1, 2, 3):
        covs = np.stack([ratio**-2.0 * np.eye(d), np.eye(d)])
        means = np.zeros((2, d))
        means[0] = apart
        for weights in ([0.5, 0.5], [0.999, 0.001]):
            law = Mixture(weights, means, covs)
            x = outward(law, np.linspace(0, 300, 300), dtype)
            x[::2, 0] *= -1
            assert agrees(law, x[np.abs(x - apart).max(axis=1) > 0.1 * apart], 10)


@pytest.mark.limit
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_weight_that_matters_is_cut_off(dtype):
    """The second of two components, where both weigh almost nothing."""
    law = Mixture([0.5, 0.5], [[-1.0, 0], [1, 0]], np.stack([np.eye(2)] * 2))
    y = np.sqrt(np.linspace(-0.5, -1.1, 500) * float(elementary.numbers(dtype).floor))
    for x in (-5.0, -2.0, 0.0, 3.0):
        assert agrees(law, np.stack([x + 0 * y, y * 1.1774], 1).astype(dtype), 10)


@pytest.mark.limit
def test_nor_is_one_that_is_small_but_pulls_with_might():
    """Of width 1e-12 beside 1, where its weight leaves the numbers of float32.

    Logits of 130 bits are rounded there by 90 units.
    """
    x = np.linspace(12, 16, 300)[:, None] * np.array([1e-12, 0])
    for apart in np.linspace(0.5, 6, 12):
        covs = np.array([1e-24, 1])[:, None, None] * np.eye(2)
        law = Mixture([0.5, 0.5], [[0.0, 0], [-apart, 0]], covs)
        assert agrees(law, x.astype(np.float32), 300)


@pytest.mark.limit
@pytest.mark.parametrize("unit", [1e-140, 1e-60, 1e60, 1e120])
def test_scores_do_not_underflow_in_large_units(unit):
    for d in (1, 2):
        law = Mixture([1.0], np.zeros((1, d)), unit**2 * np.eye(d)[None])
        x = outward(law, np.linspace(0, 1200, 300), float)
        np.testing.assert_allclose(fast.score(law, x), law.score(x), rtol=1e-14)


@pytest.mark.identity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d, K", [(1, 3), (2, 3), (2, 11), (3, 3)])
def test_a_particle_far_out_leaves_the_bits_of_its_neighbours(d, K, dtype):
    rng = np.random.default_rng(0)
    covs = np.broadcast_to(0.1 * np.eye(d), (K, d, d))
    law = Mixture(np.ones(K) / K, rng.standard_normal((K, d)), covs)
    chain, x = langevin_chain(0.01, 3), rng.standard_normal((200, d)).astype(dtype)
    moved = x.copy()
    moved[77] = 1e3
    others = np.arange(200) != 77
    for run in (
        lambda x: fast.run(chain, law, x, seed=1),
        lambda x: fast.logpdf(law, x)[:, None],
    ):
        here, there = run(x), run(moved)
        assert (here[others] == there[others]).all()
        assert (here[77] != there[77]).all()


@pytest.mark.limit
@pytest.mark.parametrize("d, unit", [(2, 1e-150), (2, 1e120), (60, 1e-4), (60, 1e4)])
def test_peaks_may_be_as_high_or_as_low_as_numbers_go(d, unit):
    law = narrow_and_wide(d, unit)
    x = law.sample(50, np.random.default_rng(3))
    np.testing.assert_allclose(fast.logpdf(law, x), law.logpdf(x), rtol=1e-13)
    slope = law.score(x)
    assert np.abs(fast.score(law, x) - slope).max() <= 1e-11 * np.abs(slope).max()


@pytest.mark.limit
def test_the_peak_of_the_narrowest_may_be_beyond_float32():
    covs = np.array([1.0, 1e-28])[:, None, None] * np.eye(2)
    law = Mixture([0.5, 0.5], np.zeros((2, 2)), covs)
    assert agrees(law, (1e-14 * fast.start(1, 20, 2)).astype(np.float32), 10)


@pytest.mark.limit
@pytest.mark.parametrize("d", [2, 3])
def test_what_float32_does_not_hold_is_refused(d):
    x = np.zeros((1, d), np.float32)
    for unit, mean in ((1e-20, 0.0), (1.0, 1e39)):
        law = Mixture([1.0], np.full((1, d), mean), unit**2 * np.eye(d)[None])
        for function in (fast.score, fast.logpdf):
            with pytest.raises(ValueError, match="law must have .* numbers of float32"):
                function(law, x)
        assert np.isfinite(fast.logpdf(law, x.astype(float) + mean)).all()


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2])
def test_particles_far_out_are_asked_at_the_level_of_their_row(d):
    levels = Level(1.0, 0.0, 1.0), Level(0.5, 0.5, 1.0)
    steps = [lambda x, z, model, at=at: x + 0.1 * model(x, at) for at in levels]
    chain, law, x = tabulate(steps), narrow_and_wide(d), 200 * fast.start(1, 9, d)
    near(fast.run(chain, law, x, seed=1), numpy_run(chain, law, x, 1)[-1], 1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("d", [1, 2, 3])
def test_more_than_eight_components_far_out(d):
    law, x = a_mixture(11, d), 400 * fast.start(2, 60, d)
    assert agrees(law, x, 10)


@pytest.mark.identity
@pytest.mark.parametrize("dtype", [*DTYPES, np.uint64])
def test_rows_begin_at_a_line_of_the_cache(dtype):
    for n in (64, 128, 448):
        rows = _tables.aligned(dtype, 3, n)
        assert rows.shape == (3, n) and rows.dtype == dtype and not rows.any()
        assert rows.ctypes.data % 64 == 0 and rows.flags.c_contiguous


def shared(threads, n, block):
    """Pieces (lo, hi) of range(n), in order."""
    pieces = []
    _share.shared(threads, n, block, lambda lo, hi: pieces.append((lo, hi)))
    return sorted(pieces)


@pytest.mark.identity
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_work_is_shared_in_whole_blocks_and_evenly(threads):
    for n, block in [(1, 64), (63, 1), (1000, 64), (100_000, 512), (512, 512)]:
        pieces = shared(threads, n, block)
        starts, ends = zip(*pieces, strict=True)
        assert starts == (0, *ends[:-1]) and ends[-1] == n
        assert not any(lo % block for lo in starts)
        blocks = [-(-(hi - lo) // block) for lo, hi in pieces]
        assert min(blocks) > 0 and max(blocks) - min(blocks) <= 1
        assert len(pieces) == min(8 * threads, -(-n // block))


def test_as_many_threads_share_it_as_are_asked_for():
    seen = set()

    def work(lo, hi):
        seen.add(threading.get_ident())
        time.sleep(0.01)

    _share.shared(2, 64, 1, work)
    assert len(seen) == 2


def test_what_goes_wrong_in_a_thread_is_not_lost():
    for threads in (1, 2, 3):
        for wrong in (0, 512, 896):  # the first piece, one between, and the last

            def work(lo, hi, wrong=wrong):
                time.sleep(0.001)
                if lo == wrong:
                    raise ArithmeticError(f"at {lo}")

            with pytest.raises(ArithmeticError, match=f"at {wrong}"):
                _share.shared(threads, 1000, 64, work)


def test_after_an_error_no_other_piece_is_begun():
    """As after Ctrl-C, which the caller's thread receives."""
    begun, here = [], threading.get_ident()

    def work(lo, hi):
        begun.append(lo)
        if threading.get_ident() == here:
            raise KeyboardInterrupt
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        _share.shared(2, 1000, 10, work)
    assert len(begun) <= 4  # of sixteen


@pytest.mark.identity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_units_of_a_power_of_two_change_no_bit_of_a_score(d, dtype):
    """Logs of determinants in small units would cost the weights three digits."""
    law, bits = narrow_and_wide(d), 200 if dtype == np.float64 else 30
    x = fast.sample(law, 200, 1, dtype=dtype)
    want = fast.score(law, x)
    for unit in (2.0**bits, 2.0**-bits):
        other = Mixture(law.weights, unit * law.means, unit**2 * law.covs)
        got = fast.score(other, dtype(unit) * x) * dtype(unit)
        np.testing.assert_array_equal(got, want)


@pytest.mark.skipif(not ANYWHERE, reason="Linux alone tells")
def test_threads_may_run_on_all_processors_again_after_their_first_piece():
    """They begin on different ones, and the caller's is as before, also after an error."""
    anywhere, seen, done = ANYWHERE, {}, set()

    def work(lo, hi):
        seen.setdefault(threading.get_ident(), []).append(os.sched_getaffinity(0))
        time.sleep(0.01)
        if lo == 0 and done:
            raise ArithmeticError

    _share.shared(2, 64, 1, work)
    assert os.sched_getaffinity(0) == anywhere
    first, second = (each[0] for each in seen.values())
    if len(anywhere) > 1:
        assert not first & second and first | second == anywhere
        assert 1 in (len(first), len(second))
    assert all(now == anywhere for each in seen.values() for now in each[1:])
    done.add(True)
    with pytest.raises(ArithmeticError):
        _share.shared(2, 64, 1, work)
    assert os.sched_getaffinity(0) == anywhere
