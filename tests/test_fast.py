"""The fast driver is the NumPy driver: same chains, same noise, same answers."""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise

import numba
import numpy as np
import pytest
from scipy import stats
from support import ALPHA, ks_passes, mixture_cdf

from refdiff import fast, noise, sde, solvers
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture, from_points
from refdiff.probe import tabulate
from refdiff.reversal import reverse
from refdiff.samplers import SAMPLERS
from refdiff.schedule import Level

COMPILED = not numba.config.DISABLE_JIT
MANY = 20_000 if COMPILED else 100  # plain Python runs the same tests on less
VP = sde.vp(sde.linear_beta())


def a_mixture(K=3, d=2, seed=0):
    rng = np.random.default_rng(seed)
    A = 0.5 * rng.standard_normal((K, d, d))
    weights = rng.uniform(0.5, 1, K)
    covs = A @ A.swapaxes(1, 2) + 0.2 * np.eye(d)
    return Mixture(weights / weights.sum(), 2 * rng.standard_normal((K, d)), covs)


LAW = a_mixture()
GRID = np.linspace(1, 0.01, 6)


def numpy_run(chain, law, x, seed, first=0):
    """The whole path by `Chain.run` with the same normals, in float64."""
    z = noise.normals(seed, *x.shape, first, chain.steps, dtype=x.dtype)
    return np.array([*chain.run(x.astype(float), law.model, z=z.astype(float))])


@pytest.mark.identity
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
def test_a_run_is_the_numpy_drivers_with_the_same_normals(sampler):
    """Every sampler there is: with one register or more, with noise or without."""
    chain = sampler.chain(VP, GRID)
    x = fast.start(1, 70, 2)
    path = fast.run(chain, LAW, x, seed=2, every=1)
    assert path.shape == (1 + chain.steps, 70, 2)
    error = np.abs(path - numpy_run(chain, LAW, x, 2)).max(axis=(1, 2))
    assert (error <= 1e-12 * np.arange(chain.steps + 1)).all()


@pytest.mark.control
def test_other_normals_give_another_run():
    chain, x = langevin_chain(0.01, 3), fast.start(1, 70, 2)
    error = fast.run(chain, LAW, x, seed=2) - numpy_run(chain, LAW, x, 3)[-1]
    assert np.abs(error).min(axis=0).max() > 1e-6


@pytest.mark.identity
@pytest.mark.parametrize(("d", "K"), [(1, 1), (1, 5), (2, 9), (3, 2), (5, 3)])
def test_any_dimension_and_any_number_of_components(d, K):
    law, x = a_mixture(K, d), fast.start(4, 65, d)
    chain = solvers.chain(solvers.euler_maruyama_step, partial(reverse, VP), GRID)
    error = fast.run(chain, law, x, seed=5) - numpy_run(chain, law, x, 5)[-1]
    assert np.abs(error).max() < 5e-12


@pytest.mark.identity
def test_long_runs_agree_for_999_particles_of_1000():
    """Near a separatrix rounding is amplified, so not for all of them."""
    n, steps = (2000, 1000) if COMPILED else (64, 20)
    chain, x = langevin_chain(0.02, steps), fast.start(1, n, 2)
    error = fast.run(chain, LAW, x, seed=8) - numpy_run(chain, LAW, x, 8)[-1]
    close = np.abs(error).max(axis=1) <= 1e-12 * steps
    assert close.mean() >= 0.999


@pytest.mark.identity
def test_a_run_may_start_where_the_signal_is_zero():
    zero, after = Level(0.0, 1.0, 2.0), Level(0.6, 0.8, 1.0)
    chain = tabulate(
        [
            lambda x, z, model: 0.6 * model(x, zero) + 0.8 * z,
            lambda x, z, model: (x + 0.64 * model(x, after)) / 0.6,
        ]
    )
    x = fast.start(1, 9, 2)
    error = fast.run(chain, LAW, x, seed=8, every=1) - numpy_run(chain, LAW, x, 8)
    assert np.abs(error).max() < 1e-12


@pytest.mark.law
def test_runs_have_the_exact_law_of_the_chain():
    """Means and covariances of Gaussian data's reversal, against `Chain.law`."""
    law = a_mixture(K=1)
    chain = solvers.chain(solvers.euler_maruyama_step, partial(reverse, VP), GRID)
    x = fast.run(chain, law, fast.start(1, MANY, 2), seed=2)
    mean, cov = (m[-1] for m in chain.law(law.mean, law.cov))
    white = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
    assert all(ks_passes(row, stats.norm.cdf)[0] for row in white)
    assert ks_passes((white**2).sum(0), stats.chi2(2).cdf)[0]


@pytest.mark.identity
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bits_depend_on_neither_threads_nor_blocks_nor_shards(dtype):
    n = 1500 if COMPILED else 70
    chain, x = langevin_chain(0.05, 3), fast.start(6, n, 2, dtype=dtype)
    whole = fast.run(chain, LAW, x, seed=7, first=10)
    assert whole.dtype == dtype
    for settings in ({"threads": 1}, {"threads": 2}, {"block": 1}, {"block": 333}):
        again = fast.run(chain, LAW, x, seed=7, first=10, **settings)
        assert again.tobytes() == whole.tobytes(), settings
    cuts = (0, 1, 66, n)
    shards = [
        fast.run(chain, LAW, x[i:j], seed=7, first=10 + i) for i, j in pairwise(cuts)
    ]
    assert np.concatenate(shards).tobytes() == whole.tobytes()
    assert fast.start(6, 5, 2, 60, dtype).tobytes() == x[60:65].tobytes()


@pytest.mark.control
def test_a_shard_that_is_not_told_its_first_particle_has_other_bits():
    chain, x = langevin_chain(0.05, 3), fast.start(6, 70, 2)
    assert (
        fast.run(chain, LAW, x[5:], seed=7) != fast.run(chain, LAW, x, seed=7)[5:]
    ).all()


def test_shards_in_other_processes_have_the_same_bits():
    chain, x = langevin_chain(0.05, 3), fast.start(6, 70, 2)
    job = partial(fast.run, chain, LAW, seed=7)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn) as pool:
        shards = [pool.submit(job, x[i : i + 35], first=i) for i in (0, 35)]
        parts = [shard.result() for shard in shards]
    assert np.concatenate(parts).tobytes() == job(x).tobytes()


@pytest.mark.identity
def test_every_keeps_each_state_of_that_number():
    chain, x = langevin_chain(0.05, 7), fast.start(6, 5, 2)
    path = fast.run(chain, LAW, x, seed=7, every=1)
    assert (path[0] == x).all()
    assert (fast.run(chain, LAW, x, seed=7, every=3) == path[[0, 3, 6]]).all()
    for never in (len(path), 2**63, 10**30):
        assert (fast.run(chain, LAW, x, seed=7, every=never) == path[:1]).all()
    assert (fast.run(chain, LAW, x, seed=7) == path[-1]).all()
    assert (x == fast.start(6, 5, 2)).all()  # and x is as it was


@pytest.mark.identity
def test_float32_is_float64_to_its_digits():
    chain, x = langevin_chain(0.05, 5), fast.start(6, 70, 2, dtype=np.float32)
    error = fast.run(chain, LAW, x, seed=7) - numpy_run(chain, LAW, x, 7)[-1]
    assert 0 < np.abs(error).max() < 2e-5


@pytest.mark.identity
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_logpdf_and_score_are_the_mixtures(size):
    """From the middle to 40 standard deviations out, and in any unit."""
    for law in (LAW, a_mixture(6, 3)):
        law = Mixture(law.weights, size * law.means, size**2 * law.covs)
        x = 40 * size * fast.start(3, 60, law.d) * np.linspace(0, 1, 60)[:, None]
        want, slope = law.logpdf(x), law.score(x)
        np.testing.assert_allclose(fast.logpdf(law, x), want, rtol=2e-14, atol=2e-14)
        scale = np.abs(slope).max(axis=1, keepdims=True)
        assert (
            np.abs(fast.score(law, x) - slope) <= 1e-12 * scale + 1e-14 / size
        ).all()


@pytest.mark.limit
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_components_far_from_a_point_weigh_nothing_in_any_order(dtype):
    """Those of a chunk, or whole chunks, are millions below the rest."""
    near, far = np.array([0.0, 1.0]), np.array([3e3, 0.0])
    for few, many in ((0, 7), (7, 0), (0, 23), (8, 8), (16, 7), (23, 0), (8, None)):
        means = [far] * few + ([] if many is None else [near] + [far] * many)
        K = len(means)
        law = Mixture(np.full(K, 1 / K), means, np.broadcast_to(np.eye(2), (K, 2, 2)))
        x = np.array([[0.5, 0.5], [-1.0, 2.0]], dtype)
        score, want = fast.score(law, x), law.score(x.astype(float))
        digits = np.finfo(dtype).eps * 8
        np.testing.assert_allclose(score, want, rtol=digits, atol=digits)


@pytest.mark.law
def test_samples_have_the_mixtures_law():
    law = a_mixture(4, 1)
    x = fast.sample(law, MANY, 3)
    assert ks_passes(x, mixture_cdf(law))[0]
    first = fast.sample(law, 10, 3, first=50)
    assert first.tobytes() == x[50:60].tobytes()
    assert len(np.unique(x)) == MANY
    whole = fast.sample(LAW, MANY, 4)
    part = LAW.responsibilities(whole).mean(axis=0)
    error = np.sqrt(LAW.weights / MANY)  # at least its standard error
    assert (np.abs(part - LAW.weights) < stats.norm.isf(ALPHA) * error).all()
    white = np.linalg.solve(np.linalg.cholesky(LAW.cov), (whole - LAW.mean).T)
    assert np.abs(white @ white.T / MANY - np.eye(2)).max() < 10 / np.sqrt(MANY)


@pytest.mark.identity
def test_samples_of_points_are_those_points():
    points = np.array([[0.0, 1.0], [2.0, -3.0]])
    x = fast.sample(from_points(points), 64, 3)
    assert {tuple(row) for row in x} == {tuple(row) for row in points}


@pytest.mark.law
def test_a_start_is_independent_of_its_run():
    x, z = fast.start(3, 100_000, 2), noise.normals(3, 100_000, 2)[0]
    r = np.corrcoef(np.hstack([x, z]).T) - np.eye(4)
    assert np.abs(r).max() < stats.norm.isf(ALPHA / 12) / np.sqrt(100_000)


@numba.njit
def gaussian_score(x, out):
    for i in range(x.shape[1]):
        out[0, i] = -x[0, i]
        out[1, i] = 1 - 2 * x[1, i]


@pytest.mark.identity
def test_an_own_score_runs_as_the_numpy_driver_does():
    chain, x = langevin_chain(0.05, 7), fast.start(6, 70, 2)
    law = Mixture(np.ones(1), [[0, 0.5]], [[[1, 0], [0, 0.5]]])  # whose score it is
    error = fast.run(chain, gaussian_score, x, seed=7) - numpy_run(chain, law, x, 7)[-1]
    assert np.abs(error).max() < 1e-13


def test_bad_arguments_are_named():
    chain, x = langevin_chain(0.05, 2), np.zeros((4, 2))
    points = from_points(x)
    reverse_chain = SAMPLERS[0].chain(VP, GRID)
    bad = [
        (ValueError, "x must be \\(n, d\\)", (chain, LAW, x[0]), {}),
        (ValueError, "x must be \\(n, 2\\), as law", (chain, LAW, x[:, :1]), {}),
        (ValueError, "x must be finite", (chain, LAW, x + np.nan), {}),
        (TypeError, "x must be float64 or", (chain, LAW, x.astype("f2")), {}),
        (ValueError, "law must have a density", (chain, points, x), {}),
        (TypeError, "law must be a Mixture or a", (chain, "ring", x), {}),
        (
            ValueError,
            "law must be a Mixture where",
            (reverse_chain, gaussian_score, x),
            {},
        ),
        (TypeError, "chain must be a Chain", (None, LAW, x), {}),
        (ValueError, "seed must be at least 0", (chain, LAW, x), {"seed": -1}),
        (ValueError, "threads must be at least 1", (chain, LAW, x), {"threads": 0}),
        (ValueError, "every must be at least 1", (chain, LAW, x), {"every": 0}),
        (ValueError, "block must be at least 1", (chain, LAW, x), {"block": 0}),
    ]
    for error, message, arguments, settings in bad:
        with pytest.raises(error, match=message):
            fast.run(*arguments, **{"seed": 1, **settings})
    with pytest.raises(ValueError, match="law must have a density"):
        fast.logpdf(points, x)
    with pytest.raises(TypeError, match="law must be a Mixture; got"):
        fast.logpdf(gaussian_score, x)
    with pytest.raises(ValueError, match="n must be at least 1"):
        fast.sample(LAW, 0, 1)


def seconds(code):
    """Wall time of a new process."""
    compiled = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=compiled)
    return time.perf_counter() - start


def holds(code, base, ratio, rounds, tries=4):
    """Whether the median of paired rounds is below the ratio, in one of some tries."""
    for _ in range(tries):
        found = statistics.median(seconds(code) / seconds(base) for _ in range(rounds))
        if found <= ratio:
            return True
    return False


def test_the_import_takes_little_more_than_numpys():
    assert holds("import refdiff, numpy", "import numpy", 1.3, 7)
    assert holds("import refdiff.fast", "import numpy", 2, 7)


JOB = """
import numpy as np
from refdiff import fast, langevin, mixture
law = mixture.Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
fast.run(langevin.langevin_chain(0.1, 10), law, np.zeros((100, 2)), seed=1)
"""


def test_a_kept_kernel_runs_in_a_process_that_takes_no_longer_than_to_import_numba():
    seconds(JOB)  # which keeps it
    assert holds(JOB, "import numba", 1, 5)


@pytest.mark.control
def test_what_takes_longer_is_seen():
    assert not holds("import numpy, time; time.sleep(2)", "import numpy", 1.3, 1, 1)
