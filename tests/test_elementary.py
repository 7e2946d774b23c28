"""Elementary functions against 50 digits."""

import mpmath
import numpy as np
import pytest

from refdiff import noise
from refdiff.elementary import DOUBLE, SINGLE, exp, exp2, higher, ln, polynomial, turns

mpmath.mp.dps = 50


def worst_units(f, exact, points, num):
    """Largest error of f in units in the last place, against 50 digits."""
    units = []
    for x in points.astype(num.F):
        got, want = f(x, num), exact(mpmath.mpf(float(x)))
        units.append(abs(mpmath.mpf(float(got)) - want) / float(np.spacing(abs(got))))
    return float(max(units))


def two_to(x):
    return mpmath.mpf(2) ** x


@pytest.mark.oracle
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place(num):
    rng = np.random.default_rng(0)
    small = -(10.0 ** rng.uniform(-12, 0, 1000))
    points = np.concatenate([small, rng.uniform(float(num.floor), 0, 1000), [0.0]])
    with np.errstate(over="ignore"):
        assert worst_units(exp2, two_to, points, num) < 1.3
    near_one = 1 - 10.0 ** rng.uniform(-6, 0, 1000)
    points = np.concatenate([near_one, 2.0 ** rng.uniform(-60, 6, 1000)])
    assert worst_units(ln, mpmath.log, points, num) < 1


@pytest.mark.identity
@pytest.mark.parametrize("terms", range(3, 10))
def test_a_polynomial_is_numpys(terms):
    x, c = np.arange(-4.0, 5), tuple(np.arange(1.0, terms + 1))
    assert (polynomial(c, x) == np.polyval(c, x)).all()  # of integers, and so exact


@pytest.mark.oracle
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_a_pair_is_box_and_mullers_for_any_two_words(num):
    """Each angle once with a radius near 0 and once with one in the tail."""
    rng = np.random.default_rng(1)
    v = rng.integers(0, 2**64, 400, dtype=np.uint64)
    for w in (2**44 + 2**30, 2**63 + 2**40, 2**64 - 2**20):
        made = noise.pair(np.full(400, w, np.uint64), v, num)
        u = mpmath.mpf(float(num.F(1 - (w >> 12) / 2**52)))
        r = mpmath.sqrt(-2 * mpmath.log(u))
        for i in range(400):
            g = mpmath.mpf(float(num.F((int(v[i]) >> 12) / 2**52 - 0.5)))
            c = (-1) ** int(v[i] & np.uint64(1)) * mpmath.cospi(g)
            for got, want in zip(made, (r * c, r * mpmath.sinpi(g)), strict=True):
                unit = float(np.spacing(abs(got[i])))
                assert abs(mpmath.mpf(float(got[i])) - want) < 4 * unit


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("num", "w", "v"),
    [
        (DOUBLE, 7570324599012030237, 18269257465909923840),
        (SINGLE, 7770579151170130429, 18403400719072685240),
    ],
    ids=["double", "single"],
)
def test_the_worst_pairs_that_were_found_err_by_less_than_five_units(num, w, v):
    """By a search over radii and angles; the docstring of `Numbers` names the sizes."""
    got, _ = noise.pair(np.array([w], np.uint64), np.array([v], np.uint64), num)
    u = mpmath.mpf(float(num.F(1 - (w >> 12) / 2**52)))
    g = mpmath.mpf(float(num.F((v >> 12) / 2**52 - 0.5)))
    want = (-1) ** (v & 1) * mpmath.sqrt(-2 * mpmath.log(u)) * mpmath.cospi(g)
    units = abs(mpmath.mpf(float(got[0])) - want) / float(np.spacing(abs(got[0])))
    assert 4 < units < 4.5


def misses(num):
    """Largest relative error of the polynomial of 2^r, in units of its last place."""
    exact = num._replace(
        exp2=[mpmath.mpf(float(c)) for c in num.exp2],
        exp2_end=[mpmath.mpf(float(c)) for c in num.exp2_end],
    )
    errors = []
    for k in range(-200, 201):
        r = mpmath.mpf(k) / 400
        _, _, p = higher(None, r, exact)
        for c in exact.exp2_end:
            p = p * r + c
        errors.append(abs(p / two_to(r) - 1))
    return float(max(errors)) / np.finfo(num.F).eps


@pytest.mark.oracle
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_the_polynomial_of_exp2_is_nearly_minimax(num):
    """Taylor's polynomials of the same degrees, 11 and 6, miss by 39 and 1.4 units."""
    assert misses(num) < 0.15


@pytest.mark.control
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_another_number_in_the_polynomial_of_exp2_is_seen(num):
    for name in ("exp2", "exp2_end"):
        for k in range(len(getattr(num, name))):
            numbers = list(getattr(num, name))
            numbers[k] *= num.F(1.01)
            assert misses(num._replace(**{name: tuple(numbers)})) > 1


@pytest.mark.control
def test_a_shorter_polynomial_for_exp2_is_seen():
    short = DOUBLE._replace(exp2=SINGLE.exp2, exp2_end=SINGLE.exp2_end)
    points = np.linspace(-1, 0, 50)
    assert worst_units(exp2, two_to, points, short) > 1e3


@pytest.mark.limit
def test_exp2_of_what_is_far_below_zero_is_nothing():
    for num in (DOUBLE, SINGLE):
        with np.errstate(over="ignore"):
            assert (
                exp2(num.floor, num) == num.tiny == 2 * np.finfo(num.F).smallest_normal
            )
            for v in np.linspace(num.floor - 2, num.floor, 99, dtype=num.F):
                assert 0 <= exp2(v, num) <= num.tiny
            for v in (num.floor - 2, num.least, num.F(-np.inf)):
                assert exp2(v, num) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_exp_is_within_two_units_in_the_last_place(num):
    most = float(num.floor) * np.log(2)
    points = np.concatenate([np.linspace(most, -most, 700), np.linspace(-1, 1, 700)])
    with np.errstate(over="ignore"):
        assert worst_units(exp, mpmath.exp, 0.999 * points, num) < 2


@pytest.mark.limit
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_exp_is_cut_off_where_it_would_leave_the_numbers(num):
    with np.errstate(over="ignore"):
        low, high = exp(-num.F(np.inf), num), exp(num.F(np.inf), num)
    assert 0 < low < 1e-30 and 1e30 < high < np.inf
    assert np.isnan(exp(num.F(np.nan), num))


@pytest.mark.oracle
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_turns_are_sines_and_cosines_of_pi_x(num):
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-40, 40, 1000), rng.uniform(-0.5, 0.5, 1000)])
    x = x.astype(num.F)
    for got, exact in zip(turns(x, num), (mpmath.cospi, mpmath.sinpi), strict=True):
        for v, y in zip(x, got, strict=True):
            want = exact(mpmath.mpf(float(v)))
            assert abs(mpmath.mpf(float(y)) - want) < 3 * np.spacing(abs(y))


@pytest.mark.identity
@pytest.mark.parametrize("num", [DOUBLE, SINGLE], ids=["double", "single"])
def test_sines_and_cosines_of_whole_turns_are_exact(num):
    n = np.arange(-9, 10).astype(num.F)
    cosine, sine = turns(n, num)
    assert not sine.any() and (cosine == 1 - 2 * (n % 2)).all()
    cosine, sine = turns(n + num.half, num)
    assert (np.abs(sine) == 1).all() and not cosine.any()
