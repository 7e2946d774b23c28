"""Streams of standard normals: particle i's depends on (seed, i) alone.

A stream is xoshiro256++, seeded by splitmix64 from (seed, i), and its words in twos make
normals in twos by the method of Box and Muller; each step of a run takes the next d of
them. `fast` draws them in compiled code; here the same source runs as NumPy, so that
whoever wants to replay a run has its noise, to the last bit: every operation is one
that IEEE 754 rounds, and none of them is fused with another.
"""

from typing import NamedTuple

import numpy as np

from refdiff._check import Array, whole


class Numbers(NamedTuple):
    """A floating-point type F, the integers I of its width, and its constants.

    exp2, log, sin, cos: minimax polynomials, highest power first, of 2^r,
    (2 atanh(s) / s - 2) / s^2, (sin(pi g) / g - pi) / g^2 and
    (cos(pi g) / (1 - 4 g^2) - 1) / g^2, all but the first in their argument's square;
    adding and taking off `magic` rounds to an integer; digits are as many zeros, as
    numba knows lengths when it compiles. In units in the last place exp2 errs by less
    than 1.3, log by 1, sin and cos by 1.8 (2.1 in float32), normals by 3 (3.2).
    """

    F: type
    I: type
    one: float
    two: float
    half: float
    pi_less_2: float
    least: float
    floor: float
    magic: float
    log2_e: float
    ln2_high: float
    ln2_low: float
    root_half: float
    digits: tuple
    exp2: tuple
    log: tuple
    sin: tuple
    cos: tuple


def _numbers(F, I, least, floor, digits, ln2_high, ln2_low, *polynomials):
    constants = (1, 2, 0.5, np.pi - 2, least, floor, 1.5 * 2.0**digits, 1 / np.log(2))
    constants = [F(v) for v in (*constants, ln2_high, ln2_low, np.sqrt(0.5))]
    tables = (tuple(F(v) for v in table) for table in polynomials)
    return Numbers(F, I, *constants, (I(0),) * digits, *tables)


# fmt: off
DOUBLE = _numbers(
    np.float64, np.int64, -1e300, -1021, 52, 0.6931471803691238, 1.9082149292705877e-10,
    (4.078067107545914e-10, 7.072570411128527e-09, 1.0180647695976878e-07,
     1.3215442675334397e-06, 1.5252727385089766e-05, 0.00015403530441572143,
     0.0013333558153440098, 0.009618129107607003, 0.05550410866479039,
     0.24022650695910097, 0.6931471805599457, 1.0),
    (0.1478811389667575, 0.15314890470635323, 0.18183528710241784, 0.22222199328491068,
     0.28571428734087023, 0.3999999999945832, 0.6666666666666726),
    (7.69472732830679e-07, -2.1903185420805378e-05, 0.0004662996887731736,
     -0.007370430478762461, 0.0821458865698926, -0.5992645293187382, 2.550164039877294,
     -5.167712780049969),
    (-1.0329569875106366e-06, 2.5878802288172897e-05, -0.00047591742275056835,
     0.006332742397759533, -0.057249471879718065, 0.31950332423733085,
     -0.9348022005446706),
)
SINGLE = _numbers(
    np.float32, np.int32, -1e37, -125, 23, 0.693359375, -0.00021219444005469057,
    (1.52019165e-05, 0.00015469291, 0.0013333922, 0.009618027, 0.055504102, 0.2402265,
     0.6931472, 1),
    (0.29866808623581387, 0.3997775959224229, 0.6666677413054443),
    (0.07756038790622123, -0.598242127852954, 2.5500697267754604, -5.167709684836388),
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


def normals(
    seed: int,
    n: int,
    d: int,
    first: int = 0,
    steps: int = 1,
    *,
    stream: int = 0,
    dtype: object = float,
) -> Array:
    """Normals that particles first..first+n-1 of `fast.run` meet, step by step.

    The same bits as the compiled ones. seed, first >= 0 below 2^63; stream 0 is for
    steps, 1 for starts; float32 has normals of its own  ->  (steps, n, d)
    `chain.run(x, model, z=normals(seed, *x.shape, steps=chain.steps))` replays a run.
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_noise.py::test_normals_are_those_of_the_kernel_to_the_last_bit
    """
    from refdiff import kernel_noise

    checked_stream(seed, first)
    whole(n=n, d=d, steps=steps)
    num = numbers(dtype)
    keys = (np.array([k], np.uint64) for k in (seed, stream))
    particle = np.arange(n, dtype=np.uint64) + np.uint64(first)
    state = kernel_noise.seeded(*keys, particle)
    z = np.empty((-(-steps * d // 2), 2, n), num.F)
    for two in z:
        w, *state = kernel_noise.xoshiro(*state)
        v, *state = kernel_noise.xoshiro(*state)
        two[:] = kernel_noise.pair(w, v, num)
    return z.reshape(-1, n)[: steps * d].reshape(steps, d, n).transpose(0, 2, 1).copy()


def checked_stream(seed: int, first: int) -> None:
    """Raise TypeError or ValueError unless (seed, first) names a stream.

    Source: definition
    Test: test_noise.py::test_bad_arguments_are_named
    """
    whole(0, seed=seed, first=first)
    for name, value in (("seed", seed), ("first", first)):
        if value >= 2**63:
            raise ValueError(f"{name} must be below 2^63; got {value}")
