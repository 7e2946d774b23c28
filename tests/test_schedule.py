"""Schedules: tables at 50 digits, the ends, respacing by composition."""

import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import exact

from refdiff import schedule

TIGHT = 1e-13


def relative(got, want):
    """Largest relative error of a table against 50-digit numbers."""
    return max(float(abs(g - w) / w) for g, w in zip(exact(got), want, strict=True))


def exact_tables(alpha, beta):
    """alpha_bar, and 1 - alpha_bar by subtraction at 50 digits, from exact inputs."""
    bar = [mp.mpf(1)]
    for a, b in zip(exact(alpha), exact(beta), strict=True):
        bar.append(bar[-1] * (1 - b if b < 0.5 else a))
    return bar[1:]


@pytest.mark.oracle
@pytest.mark.parametrize("T", [1, 2, 137, 1000, 10_000])
def test_tables_agree_with_50_digits(T):
    """alpha_bar and noise2 of the linear schedule, with its float64 beta as exact.

    The condition number of a product of t rounded factors is about t, and that of
    alpha_bar in beta is sum beta / alpha; noise2 is a sum of positives.
    """
    sched = schedule.linear(T)
    bar = exact_tables(sched.alpha[1:], sched.beta[1:])
    kappa = max(1.0, float(np.sum(sched.beta / sched.alpha)))
    assert relative(sched.alpha_bar[1:], bar) < TIGHT * kappa
    assert relative(sched.noise2[1:], [1 - b for b in bar]) < TIGHT
    assert relative(sched.signal[1:], [mp.sqrt(b) for b in bar]) < TIGHT * kappa
    assert relative(sched.noise[1:], [mp.sqrt(1 - b) for b in bar]) < TIGHT


@pytest.mark.control
def test_subtracting_alpha_bar_from_one_loses_the_digits():
    """Betas of 1e-12: 1 - alpha_bar keeps four digits where the recursion keeps all."""
    sched = schedule.from_beta(np.full(10, 1e-12))
    want = [1 - b for b in exact_tables(sched.alpha[1:], sched.beta[1:])]
    assert relative(sched.noise2[1:], want) < TIGHT
    assert relative(1 - sched.alpha_bar[1:], want) > 1e-6


@pytest.mark.oracle
@pytest.mark.parametrize("s", [0.008, 1e-4, 0.0])
@pytest.mark.parametrize("T", [2, 100, 1000, 10_000])
def test_cosine_schedule_agrees_with_50_digits(T, s):
    """Nichol21 (17) at 50 digits from T and s; the cap leaves one step of 0.999."""
    sched, s = schedule.cosine(T, s), mp.mpf(s)
    f = [mp.cos((mp.mpf(t) / T + s) / (1 + s) * mp.pi / 2) ** 2 for t in range(T + 1)]
    ratio = [b / a for a, b in itertools.pairwise(f)][:-1]
    assert relative(sched.alpha[1:-1], ratio) < TIGHT
    assert relative(sched.beta[1:-1], [1 - r for r in ratio]) < TIGHT
    assert relative(sched.alpha_bar[1:-1], [b / f[0] for b in f[1:-1]]) < TIGHT
    assert relative(sched.noise2[1:-1], [1 - b / f[0] for b in f[1:-1]]) < TIGHT
    assert sched.beta[T] == 0.999
    assert sched.alpha_bar[T] == pytest.approx(1e-3 * sched.alpha_bar[T - 1], rel=1e-12)


@pytest.mark.identity
@given(beta=st.lists(st.floats(1e-6, 0.9), min_size=1, max_size=30))
def test_the_three_ways_to_give_a_table_agree(beta):
    one = schedule.from_beta(np.array(beta))
    for other in (
        schedule.from_alpha(one.alpha[1:]),
        schedule.from_alpha_bar(one.alpha_bar[1:]),
    ):
        np.testing.assert_allclose(other.alpha_bar, one.alpha_bar, rtol=1e-12)
        np.testing.assert_allclose(other.noise2, one.noise2, rtol=1e-9)
    assert one.alpha_bar[0] == 1
    assert one.beta[0] == one.noise2[0] == one.label[0] == 0
    assert one.T == len(beta)


def test_constant_schedule_is_a_power():
    sched = schedule.constant(200, 0.97)
    t = np.arange(201)
    np.testing.assert_allclose(sched.alpha_bar, 0.97**t, rtol=1e-13)
    np.testing.assert_allclose(sched.noise2, -np.expm1(t * np.log(0.97)), rtol=1e-13)


def test_linear_schedule_is_an_arithmetic_progression():
    beta = schedule.linear(1000).beta[1:]
    assert beta[0] == 1e-4
    assert beta[-1] == 0.02
    np.testing.assert_allclose(np.diff(beta), 0.0199 / 999, rtol=1e-9)


@pytest.mark.identity
def test_snr_weights_are_half_the_snr_difference():
    """Thm 2.7: (1-a)^2 ab' / (2 sigma_q^2 (1-ab)^2) = (SNR' - SNR) / 2 for t >= 2.

    Both computed at 50 digits from alpha = 0.9; the table's SNR reproduces them.
    """
    sched, a = schedule.constant(50, 0.9), mp.mpf(0.9)
    snr = [None] + [a**t / (1 - a**t) for t in range(1, 51)]
    for t in range(2, 51):
        var = (1 - a) * (1 - a ** (t - 1)) / (1 - a**t)
        weight = (1 - a) ** 2 * a ** (t - 1) / (2 * var * (1 - a**t) ** 2)
        assert abs(weight - (snr[t - 1] - snr[t]) / 2) < mp.mpf(10) ** -40
        assert float((sched.snr[t - 1] - sched.snr[t]) / 2) == pytest.approx(
            float(weight), rel=1e-11
        )
    assert np.isinf(sched.snr[0])


@pytest.mark.identity
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize(("T", "N"), [(1000, 7), (1000, 50), (137, 26), (137, 137)])
def test_respacing_keeps_the_marginals_it_visits(spacing, T, N):
    sched = schedule.cosine(T)
    times = getattr(schedule, spacing)(T, N)
    few = sched.respace(times)
    np.testing.assert_array_equal(few.label[1:], times)
    np.testing.assert_allclose(few.alpha_bar[1:], sched.alpha_bar[times], rtol=1e-12)
    np.testing.assert_allclose(few.noise2[1:], sched.noise2[times], rtol=1e-12)
    np.testing.assert_allclose(few.alpha + few.beta, 1, rtol=1e-13)


@pytest.mark.control
def test_dropping_rows_is_not_respacing():
    """Keeping alpha[t] of the visited times gives a chain that forgets too little."""
    sched = schedule.linear(1000)
    times = schedule.trailing(1000, 50)
    dropped = schedule.from_alpha(sched.alpha[times])
    assert dropped.alpha_bar[-1] > 0.5
    assert sched.respace(times).alpha_bar[-1] == pytest.approx(sched.alpha_bar[-1])


def test_respacing_a_respaced_schedule_keeps_the_first_labels():
    sched = schedule.linear(1000).respace(schedule.trailing(1000, 100))
    twice = sched.respace(schedule.trailing(100, 10))
    np.testing.assert_array_equal(twice.label[1:], np.arange(100, 1001, 100))
    assert twice.level(10).t == 1000


def test_spacings_reproduce_published_lists():
    """Lin24 Table 2 for T = 1000, N = 10, and cases in which N does not divide T.

    The published times count from 1, as ours do.
    """
    np.testing.assert_array_equal(schedule.leading(1000, 10), 1 + 100 * np.arange(10))
    np.testing.assert_array_equal(schedule.trailing(1000, 10), 100 * np.arange(1, 11))
    expected = [1, 112, 223, 334, 445, 556, 667, 778, 889, 1000]
    np.testing.assert_array_equal(schedule.linspace(1000, 10), expected)
    np.testing.assert_array_equal(
        schedule.trailing(1000, 7), [143, 286, 429, 571, 714, 857, 1000]
    )
    np.testing.assert_array_equal(schedule.leading(10, 3), [1, 4, 7])
    np.testing.assert_array_equal(
        schedule.linspace(1000, 7), [1, 167, 334, 501, 667, 833, 1000]
    )
    np.testing.assert_array_equal(schedule.trailing(7, 6), [1, 2, 4, 5, 6, 7])
    for T, N in ((1000, 33), (137, 64), (7, 7), (5, 1)):
        for spacing in (schedule.leading, schedule.trailing, schedule.linspace):
            times = spacing(T, N)
            assert len(times) == N
            assert times[0] >= 1
            assert times[-1] <= T
            assert (np.diff(times) > 0).all()


def test_at_refuses_times_outside_the_tables():
    sched = schedule.linear(10)
    row = sched.at(np.array([0, 10]))
    assert row.alpha_bar.shape == (2, 1)
    np.testing.assert_array_equal(row.alpha_bar[:, 0], sched.alpha_bar[[0, 10]])
    assert sched.at(3).beta.shape == (1,)
    for bad in (-1, 11):
        with pytest.raises(ValueError, match=rf"0\.\.10; got {bad}"):
            sched.at(bad)
    with pytest.raises(ValueError, match=r"1\.\.10; got 0"):
        sched.at(np.array([0, 3]), first=1)
    with pytest.raises(TypeError, match="integers"):
        sched.at(1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule.from_alpha_bar([0.9, 0.91]), r"alpha_bar\[2\] = 0.91 >="),
        (lambda: schedule.from_alpha_bar([0.9, 0.9]), r"alpha_bar\[2\] = 0.9 >="),
        (lambda: schedule.linear(10).respace([2, 2, 5]), "times must increase"),
        (lambda: schedule.linear(10).respace([5, 11]), "times must increase"),
        (lambda: schedule.cosine(10, s=np.inf), "s must be"),
        (lambda: schedule.leading(10, 2.5), "N must be an integer"),
        (lambda: schedule.from_beta([0.1, 1.0]), r"beta\[2\] = 1.0"),
        (lambda: schedule.from_alpha([0.0]), r"alpha\[1\] = 0.0"),
        (lambda: schedule.from_beta([]), "T >= 1"),
        (lambda: schedule.from_beta([np.nan]), "beta must be finite"),
        (lambda: schedule.linear(0), "T must be an integer >= 1"),
        (lambda: schedule.linear(2.5), "T must be an integer >= 1"),
        (lambda: schedule.cosine(10, s=-1), "s must be"),
        (lambda: schedule.leading(10, 11), r"N must be an integer in 1\.\.10"),
        (lambda: schedule.linear(10).respace([3, 2]), "times must increase"),
        (lambda: schedule.linear(10).respace([0, 2]), "times must increase"),
        (lambda: schedule.linear(10).respace([1.5]), "integers"),
        (lambda: schedule.linear(9).respace(np.array([3, 2], "u8")), "increase"),
        (lambda: schedule.linear(10).level(-1), r"t must be in 0\.\.10"),
    ],
)
def test_bad_schedules_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_tables_are_read_only():
    sched = schedule.linear(10)
    for name, table in vars(sched).items():
        assert not table.flags.writeable, name
        assert len(table) == 11


def test_single_precision_is_taken_as_the_numbers_it_holds():
    beta = np.linspace(1e-4, 0.02, 1000, dtype=np.float32)
    single, double = schedule.from_beta(beta), schedule.from_beta(beta.astype(float))
    np.testing.assert_array_equal(single.noise2, double.noise2)
    np.testing.assert_array_equal(single.alpha_bar, double.alpha_bar)
