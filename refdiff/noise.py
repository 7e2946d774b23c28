"""Streams of standard normals: particle i's depends on (seed, i) alone.

A stream is xoshiro256++, seeded by splitmix64 from (seed, i), and its words in twos make
normals in twos by the method of Box and Muller; each step of a run takes the next d of
them. `fast` draws them in compiled code; here the same source runs as NumPy, so that
whoever wants to replay a run has its noise, to the last bit: every operation is one
that IEEE 754 rounds, and none of them is fused with another.
"""

import numpy as np

from refdiff._check import Array, whole
from refdiff.elementary import Numbers, ln, numbers, turn, view

STEPS, STARTS, SAMPLES = range(3)  # streams of a seed: `fast.run`, `start`, `sample`
GOLDEN, EXPONENT = np.uint64(0x9E3779B97F4A7C15), np.uint64(1023 << 52)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def splitmix(s: Array) -> Array:
    """First output of splitmix64 from state s; the later ones are at s + k GOLDEN.

    s uint64, as all words here, any shape  ->  that shape
    Source: Steele14 for the generator
    Test: test_noise.py::test_the_generators_give_their_published_outputs
    """
    s = s + GOLDEN
    s = (s ^ (s >> 30)) * MIX_1
    s = (s ^ (s >> 27)) * MIX_2
    return s ^ (s >> 31)


def seeded(seed: Array, stream: Array, i: Array) -> tuple[Array, ...]:
    """State of particle i's generator: four outputs of splitmix64 from one hash.

    Source: definition
    Test: test_noise.py::test_normals_are_those_of_box_and_muller_to_a_few_units_in_the_last_place
    """
    s = splitmix(splitmix(splitmix(seed) ^ stream) ^ i)
    t = s + GOLDEN + GOLDEN
    return splitmix(s), splitmix(s + GOLDEN), splitmix(t), splitmix(t + GOLDEN)


def xoshiro(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    """One output of xoshiro256++, and its next state; two shifts make a rotation.

    Source: Blackman21 for the generator
    Test: test_noise.py::test_the_generators_give_their_published_outputs
    """
    out = (((a + d) << 23) | ((a + d) >> 41)) + a
    c, d, t = c ^ a, d ^ b, b << 17
    return out, a ^ d, b ^ c, c ^ t, (d << 45) | (d >> 19)


def mantissa(w: Array) -> Array:
    """Read the upper 52 bits of w as a number in [1, 2).

    Source: definition
    Test: test_noise.py::test_normals_are_those_of_box_and_muller_to_a_few_units_in_the_last_place
    """
    return view((w >> 12) | EXPONENT, np.float64)


def uniforms(w: Array, v: Array, num: Numbers) -> tuple[Array, Array]:
    """Numbers u, 0 < |u| <= 1, signed by v's last bit, and g in [-1/2, 1/2].

    Source: definition
    Test: test_elementary.py::test_a_pair_is_box_and_mullers_for_any_two_words
    """
    side = view((v << 63) | EXPONENT, np.float64)  # 1 or -1
    return num.F(side * (2.0 - mantissa(w))), num.F(mantissa(v) - 1.5)


def radius(u: Array, num: Numbers) -> Array:
    """sqrt(-2 log |u|), with the sign of u.

    Source: BoxMuller58 for the method
    Test: test_elementary.py::test_a_pair_is_box_and_mullers_for_any_two_words
    """
    return np.copysign(np.sqrt(-num.two * ln(abs(u), num)), u)


def cartesian(r: Array, g: Array, num: Numbers) -> tuple[Array, Array]:
    """The point r cos(pi g), |r| sin(pi g).

    Source: definition
    Test: test_elementary.py::test_a_pair_is_box_and_mullers_for_any_two_words
    """
    c, s = turn(g, num)
    return r * c, abs(r) * s


def pair(w: Array, v: Array, num: Numbers) -> tuple[Array, Array]:
    """Two normals of two words, as the point that has their radius and their angle.

    Source: BoxMuller58 for the method
    Test: test_elementary.py::test_a_pair_is_box_and_mullers_for_any_two_words
    """
    u, g = uniforms(w, v, num)
    return cartesian(radius(u, num), g, num)


def normals(
    seed: int,
    n: int,
    d: int,
    first: int = 0,
    steps: int = 1,
    *,
    stream: int = STEPS,
    dtype: object = float,
) -> Array:
    """Normals that particles first..first+n-1 of a compiled run meet, step by step.

    The same bits as the compiled ones. seed, first, stream >= 0 below 2^63; float32's are
    made in float32  ->  (steps, n, d)
    `z=normals(seed, *x.shape, steps=chain.steps, dtype=x.dtype)` in `chain.run(x, model,
    z=z)` replays a run.
    ValueError or TypeError that names the bad argument.
    Source: definition
    Test: test_noise.py::test_normals_are_those_of_the_kernel_to_the_last_bit
    """
    checked_stream(seed, first, stream)
    whole(n=n, d=d, steps=steps)
    num = numbers(dtype)
    keys = (np.array([k], np.uint64) for k in (seed, stream))
    particle = np.arange(n, dtype=np.uint64) + np.uint64(first)
    state = seeded(*keys, particle)
    z = np.empty((-(-steps * d // 2), 2, n), num.F)
    for two in z:
        w, *state = xoshiro(*state)
        v, *state = xoshiro(*state)
        two[:] = pair(w, v, num)
    return z.reshape(-1, n)[: steps * d].reshape(steps, d, n).transpose(0, 2, 1).copy()


def checked_stream(seed: int, first: int, stream: int = STEPS) -> None:
    """Raise TypeError or ValueError unless (seed, first, stream) names a stream.

    Source: definition
    Test: test_noise.py::test_bad_arguments_are_named
    """
    whole(0, seed=seed, first=first, stream=stream)
    for name, value in (("seed", seed), ("first", first), ("stream", stream)):
        if value >= 2**63:
            raise ValueError(f"{name} must be below 2^63; got {value}")
