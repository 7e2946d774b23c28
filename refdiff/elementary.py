"""Elementary functions of IEEE operations alone: the same source in NumPy and compiled.

Each is a polynomial, with what brings its argument near 0 and the result back. What
normals are made of (`ln`, `turn`) takes numbers or arrays, and has the same bits
compiled, in `kernel_noise`; in `exp` and `exp2`, which take numbers alone, compilers
may round a product and a sum once.
"""

from typing import NamedTuple

import numpy as np

from refdiff._check import Array


class Numbers(NamedTuple):
    """A floating-point type F, the integers I of its width, and its constants.

    exp2 and exp2_end: a nearly minimax polynomial of 2^r, as `higher` and `lower` take it;
    log, sin, cos: such of (2 atanh(s) / s - 2) / s^2, (sin(pi g) / g - pi) / g^2 and
    (cos(pi g) / (1 - 4 g^2) - 1) / g^2 in their argument's square, highest power first;
    adding and taking off `magic` rounds to an integer; `digits` are those behind the
    binary point; `tiny`, 2^floor, is the least that exp2 has digits for, and `least`
    what no logit is below; `one` stands for 1 since in compiled code a literal would make
    float32 double. In units in the last place exp2 errs by less than 1.3, log by 1, and
    at the worst arguments that were found sin errs by 2.4, cos by 2.8, normals by 4.5.
    """

    F: type
    I: type
    one: float
    two: float
    half: float
    pi_less_2: float
    least: float
    floor: float
    tiny: float
    magic: float
    log2_e: float
    ln2_high: float
    ln2_low: float
    minus_2_ln2: float
    root_half: float
    nan: float
    digits: int
    exp2: tuple
    exp2_end: tuple
    log: tuple
    sin: tuple
    cos: tuple


def _numbers(F, I, least, floor, digits, ln2_high, ln2_low, *polynomials):
    constants = (1, 2, 0.5, np.pi - 2, least, floor, 2.0**floor)
    constants += 1.5 * 2.0**digits, 1 / np.log(2)
    constants += ln2_high, ln2_low, -2 * np.log(2), np.sqrt(0.5), np.nan
    constants = [F(v) for v in constants]
    tables = (tuple(F(v) for v in table) for table in polynomials)
    return Numbers(F, I, *constants, digits, *tables)


# fmt: off
DOUBLE = _numbers(
    np.float64, np.int64, -1e300, -1021, 52, 0.6931471803691238, 1.9082149292705877e-10,
    (7.9375, 4.434773523149006e-10, -1.7566927162994994e-08, 705.1578774985383,
     1.0134386915975724e-05, 50.994460631774864, 0.00013988299030253537,
     36.7855283889656, 0.003120098833278293),
    (0.055504108664820084, 0.2402265069591013, 0.6931471805599453, 1.0),
    (0.1478811389667575, 0.15314890470635323, 0.18183528710241784, 0.22222199328491068,
     0.28571428734087023, 0.3999999999945832, 0.6666666666666726),
    (7.69472732830679e-07, -2.1903185420805378e-05, 0.0004662996887731736,
     -0.007370430478762461, 0.0821458865698926, -0.5992645293187382, 2.5501640398772953,
     -5.167712780049969),
    (-1.0329569875106366e-06, 2.5878802288172897e-05, -0.00047591742275056835,
     0.006332742397759533, -0.057249471879718065, 0.31950332423733085,
     -0.9348022005446706),
)
SINGLE = _numbers(
    np.float32, np.int32, -1e37, -125, 23, 0.693359375, -0.00021219444005469057,
    (4.125, 0.00015353367116284665, -0.0005600917406366457, 41.69626135239458,
     0.051203580093043564),
    (0.2402264791377212, 0.693147202855091, 1.0),
    (0.29866808623581387, 0.3997775959224229, 0.6666677413054443),
    (0.07756038790622123, -0.598242127852954, 2.5500705242156982, -5.167709684836388),
    (0.006038524195618667, -0.05718463577059123, 0.31949744139436287,
     -0.9348020119520832),
)
# fmt: on


def numbers(dtype: object) -> Numbers:
    """Return the constants of float64 or float32, or raise TypeError.

    Source: definition
    Test: test_noise.py::test_float32_has_normals_of_its_own
    """
    for num in (DOUBLE, SINGLE):
        if np.dtype(dtype) == num.F:
            return num
    raise TypeError(f"dtype must be float64 or float32; got {np.dtype(dtype)}")


def view(x: Array, T: type) -> Array:
    """Read the bits of x as type T.

    Source: definition
    Test: test_elementary.py::test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place
    """
    return x.view(T)


def polynomial(c: tuple, x: Array) -> Array:
    """Sum of c[-1-k] x^k, of three terms at least.

    Horner's rule for odd and for even powers: two short chains, where for all of them
    it is a long one.
    Source: definition
    Test: test_elementary.py::test_a_polynomial_is_numpys
    """
    y, a, b = x * x, c[0], c[1]
    for k in range(2, len(c) - 1, 2):
        a, b = a * y + c[k], b * y + c[k + 1]
    if len(c) % 2:
        return (a * y + c[-1]) + b * x
    return a * x + b


def ln(u: Array, num: Numbers) -> Array:
    """Natural logarithm of a normal number u = 2^n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2).

    log u = n log 2 + 2 atanh(s), s = f / (2 + f), where 2 s = f - h + s h, h = f^2 / 2;
    log 2 = ln2_high + ln2_low
    Source: definition
    Test: test_elementary.py::test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place
    """
    n = (view(u, num.I) - view(num.root_half, num.I)) >> num.digits
    f = view(num.I(view(u, num.I) - num.I(n << num.digits)), num.F) - num.one
    n = view(num.I(n + view(num.magic, num.I)), num.F) - num.magic
    s = f / (num.two + f)
    h = num.half * f * f
    tail = s * (h + s * s * polynomial(num.log, s * s)) + n * num.ln2_low
    return n * num.ln2_high + (f - (h - tail))


def turn(g: Array, num: Numbers) -> tuple[Array, Array]:
    """Cosine and sine of pi g, |g| <= 1/2.

    cos(pi g) = (1 - 4 g^2) (1 + g^2 P),  sin(pi g) = 2 g + g (pi - 2 + g^2 Q)
    Source: definition
    Test: test_elementary.py::test_a_pair_is_box_and_mullers_for_any_two_words
    """
    q, h = g * g, (num.one - (g + g)) * (num.one + (g + g))
    c = h + h * (q * polynomial(num.cos, q))
    return c, (g + g) + g * (num.pi_less_2 + q * polynomial(num.sin, q))


def turns(x: Array, num: Numbers) -> tuple[Array, Array]:
    """Cosine and sine of pi x = pi (n + g), |x| < 2^50 (2^21 in float32).

    (-1)^n cos(pi g), (-1)^n sin(pi g)
    Source: definition
    Test: test_elementary.py::test_sines_and_cosines_of_whole_turns_are_exact
    """
    n = (x + num.magic) - num.magic
    odd = n - num.two * ((num.half * n + num.magic) - num.magic)  # 0 or +-1
    side = num.one - num.two * odd * odd
    c, s = turn(x - n, num)
    return side * c, side * s


def split(v: float, num: Numbers) -> tuple[float, float]:
    """Parts of v = n + r, |r| <= 1/2, cut off below floor - 2  ->  n + magic, r.

    Source: definition
    Test: test_elementary.py::test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place
    """
    v = max(v, num.floor - num.two)
    t = v + num.magic
    return t, v - (t - num.magic)


def higher(t: float, r: float, num: Numbers) -> tuple[float, float, float]:
    """2^r begun with its higher powers  ->  t, r, p.

    p = ((a y + b) (y^2 + c) + d) (y^2 + e) + ...,  y = r + shift: Eve's form, in which a
    product brings two powers where in Horner's it brings one.
    Source: Eve64 for the form
    Test: test_elementary.py::test_the_polynomial_of_exp2_is_nearly_minimax
    """
    c = num.exp2
    y = r + c[0]
    w, p = y * y, c[1] * y + c[2]
    for k in range(3, len(c), 2):
        p = p * (w + c[k]) + c[k + 1]
    return t, r, p


def lower(t: float, r: float, p: float, num: Numbers) -> float:
    """2^(n + r): the lowest powers, down to 1, and n, the last bits of t = n + magic.

    Source: definition
    Test: test_elementary.py::test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place
    """
    for k in range(len(num.exp2_end)):
        p = p * r + num.exp2_end[k]
    return view(num.I(view(p, num.I) + num.I(view(t, num.I) << num.digits)), num.F)


def exp2(v: float, num: Numbers) -> float:
    """2^v for floor <= v <= 0; below it less than `tiny`, and 0 from floor - 2 on.

    For there 2^r is 1, whose bits are its exponent's alone, and all of them are taken off.
    Source: definition
    Test: test_elementary.py::test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place
    """
    return lower(*higher(*split(v, num), num), num)


def exp(y: float, num: Numbers) -> float:
    """e^y, with y cut off at +-floor ln2_high.

    e^y = 2^(n + r),  |r| <= 1/2, with log 2 = ln2_high + ln2_low
    Source: definition
    Test: test_elementary.py::test_exp_is_within_two_units_in_the_last_place
    """
    most = -num.floor * num.ln2_high
    y = min(max(y, -most), most)
    t = y * num.log2_e + num.magic
    n = t - num.magic
    r = ((y - n * num.ln2_high) - n * num.ln2_low) * num.log2_e
    return lower(*higher(num.F(t), num.F(r), num), num)
