"""Streams of normals: the generators' known answers, independence, tails, and bits."""

import mpmath
import numpy as np
import pytest
from numba import config
from scipy import stats
from support import ALPHA, ks_passes

from refdiff import elementary, fast, noise
from refdiff.chain import Chain
from refdiff.mixture import Mixture

MASK = 2**64 - 1
# The first outputs that the authors' C programs print.
XOSHIRO_1234 = (
    41943041,
    58720359,
    3588806011781223,
    3591011842654386,
    9228616714210784205,
    9973669472204895162,
    14011001112246962877,
    12406186145184390807,
    15849039046786891736,
    10450023813501588000,
)
SPLITMIX_1234567 = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
POINT = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])


def whole_splitmix(state):
    """splitmix64 in integers without a size: its outputs, forever."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def whole_xoshiro(s):
    """xoshiro256++ in integers without a size, in the order of its C program."""
    s = list(s)

    def turn(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    while True:
        yield (turn((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = turn(s[3], 45)


def words(seed, stream, i):
    """The words of particle i's generator."""
    s = next(whole_splitmix(seed))
    s = next(whole_splitmix(s ^ stream))
    s = next(whole_splitmix(s ^ i))
    outputs = whole_splitmix(s)
    return whole_xoshiro([next(outputs) for _ in range(4)])


def noise_chain(steps):
    """x <- z."""
    none = np.full(steps, np.nan)
    one = np.ones((steps, 1))
    return Chain(0 * one[..., None], 0 * one, one, none, none, none, one[:, 0] > 0)


def correlates(x, y):
    """Whether the correlation of two samples, or of their squares, is beyond chance."""
    r = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in ((x, y), (x**2, y**2))]
    return max(np.abs(r)) > stats.norm.isf(ALPHA / 4) / np.sqrt(x.size)


@pytest.mark.oracle
def test_the_generators_give_their_published_outputs():
    state = [np.array([k], np.uint64) for k in (1, 2, 3, 4)]
    for known, other in zip(XOSHIRO_1234, whole_xoshiro((1, 2, 3, 4)), strict=False):
        out, *state = noise.xoshiro(*state)
        assert int(out[0]) == known == other
    s = np.array([1234567], np.uint64)
    for known, other in zip(SPLITMIX_1234567, whole_splitmix(1234567), strict=False):
        assert int(noise.splitmix(s)[0]) == known == other
        s = s + noise.GOLDEN


@pytest.mark.oracle
def test_normals_are_those_of_box_and_muller_to_a_few_units_in_the_last_place():
    """Against 50 digits, from words that are made in integers without a size."""
    seed, first, n = 2**62 + 3, 10**6, 300
    z = noise.normals(seed, n, 4, first)[0]
    worst = 0
    for i in range(n):
        of_i = words(seed, 0, first + i)
        for two in z[i].reshape(2, 2):
            u = 1 - mpmath.mpf(next(of_i) >> 12) / 2**52
            v = next(of_i)
            r, g = mpmath.sqrt(-2 * mpmath.log(u)), mpmath.mpf(v >> 12) / 2**52 - 0.5
            side = -1 if v & 1 else 1
            exact = side * r * mpmath.cospi(g), r * mpmath.sinpi(g)
            for got, want in zip(two, exact, strict=True):
                worst = max(worst, abs(got - want) / np.spacing(abs(got)))
    assert worst < 4


@pytest.mark.identity
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_normals_are_those_of_the_kernel_to_the_last_bit(d, dtype):
    law = Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])
    n = 70 if config.DISABLE_JIT else 20_000  # a product fused with a sum is rare
    x = np.zeros((n, d), dtype)
    path = fast.run(noise_chain(5), law, x, seed=9, first=3, every=1)
    z = noise.normals(9, n, d, 3, 5, dtype=dtype)
    assert z.dtype == path.dtype == dtype
    assert (path[1:] == z).all()


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("f8", "-0x1.a0f59b499f7c6p-4 0x1.592a4f5559222p-1 -0x1.ece13a47b4a09p+0"),
        ("f4", "-0x1.a0f596p-4 0x1.592a4ep-1 -0x1.ece138p+0"),
    ],
)
def test_seeds_keep_their_normals_from_version_to_version(dtype, bits):
    """Whoever changes a last digit of a coefficient changes everybody's old runs."""
    got = noise.normals(1, 2, 2, dtype=dtype).ravel()
    assert [float.fromhex(word) for word in bits.split()] == got[:3].tolist()


@pytest.mark.control
def test_another_seed_particle_or_stream_has_other_normals():
    z = noise.normals(9, 50, 2)
    others = [noise.normals(10, 50, 2), noise.normals(9, 50, 2, first=1)]
    others += [noise.normals(9, 50, 2, stream=k) for k in (1, 2)]
    assert not any((z == other).any() for other in others)


@pytest.mark.identity
def test_a_particles_normals_depend_on_its_own_number_alone():
    z = noise.normals(7, 100, 3, steps=4)
    assert (noise.normals(7, 10, 3, first=40, steps=4) == z[:, 40:50]).all()
    assert (noise.normals(7, 100, 3, steps=2) == z[:2]).all()
    flat = z.transpose(1, 0, 2).reshape(100, 12)  # one stream, in steps of any size
    of_two = noise.normals(7, 100, 2, steps=6)
    assert (of_two.transpose(1, 0, 2).reshape(100, 12) == flat).all()


@pytest.mark.law
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_normals_are_normal(dtype):
    z = noise.normals(1, 100_000, 2, steps=2, dtype=dtype).astype(float)
    assert ks_passes(z[0], stats.norm.cdf)[0]
    assert ks_passes(z[:, 0], stats.norm.cdf)[0]  # one particle's, all by itself
    radius2 = (z**2).sum(-1)
    assert ks_passes(radius2, stats.chi2(2).cdf)[0]
    assert ks_passes(
        np.arctan2(*z.transpose(2, 0, 1)), stats.uniform(-np.pi, 2 * np.pi).cdf
    )[0]


@pytest.mark.control
def test_normals_a_fiftieth_too_wide_are_seen():
    z = noise.normals(1, 100_000, 2, steps=2)
    assert not ks_passes(1.02 * z, stats.norm.cdf)[0]


@pytest.mark.law
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tails_have_their_weight(dtype):
    """Beyond 3, 4 and 5 standard deviations, in two million normals."""
    z = np.abs(noise.normals(2, 500_000, 4, dtype=dtype))
    for size in (3, 4, 5):
        seen = stats.binomtest(int((z > size).sum()), z.size, 2 * stats.norm.sf(size))
        assert seen.pvalue > ALPHA / 3
    assert z.max() < np.sqrt(2 * 52 * np.log(2))  # 8.49: u is at least 2^-52


@pytest.mark.law
def test_streams_are_independent():
    """Neighbours, seeds that are neighbours, streams, steps, and the two of a pair."""
    z = noise.normals(3, 200_001, 2, steps=2)
    assert not correlates(z[:, 1:], z[:, :-1])
    assert not correlates(z[0], z[1])
    assert not correlates(z[..., 0], z[..., 1])
    assert not correlates(z, noise.normals(4, 200_001, 2, steps=2))
    assert not correlates(z[0], noise.normals(3, 200_001, 2, stream=1)[0])


@pytest.mark.control
def test_correlation_of_a_hundredth_is_seen():
    z = noise.normals(3, 200_001, 2, steps=2)
    assert correlates(z[0], z[1] + 0.015 * z[0])


@pytest.mark.law
def test_float32_has_normals_of_its_own():
    """The same words, rounded sooner: equal to float32's digits, but near r = 0."""
    z, z32 = noise.normals(5, 10_000, 2)[0], noise.normals(5, 10_000, 2, dtype="f4")[0]
    r = np.linalg.norm(z, axis=1, keepdims=True)
    assert z32.dtype == np.float32
    assert (np.abs(z - z32) < 2e-7 * (1 / r + 2 * r)).all()
    assert not (z == z32).all()
    with pytest.raises(TypeError, match="dtype must be float64 or float32; got int"):
        elementary.numbers(int)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        noise.normals(-1, 2, 2)
    with pytest.raises(ValueError, match="first must be below 2"):
        noise.normals(1, 2, 2, first=2**63)
    with pytest.raises(TypeError, match="stream must be an integer; got 1.7"):
        noise.normals(1, 2, 2, stream=1.7)
    with pytest.raises(TypeError, match="seed must be an integer; got 1.5"):
        noise.normals(1.5, 2, 2)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        noise.normals(1, 2, 2, steps=0)
