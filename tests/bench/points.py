"""The rows of single evaluations: a mixture's log density, and samples of it."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module

import numpy as np

from tests.bench.harness import Row, same_law, same_numbers
from tests.bench.problems import mixture

LAW = mixture(full=True)
SHORT, FULL = 50_000, 1_000_000


def _points(n):
    return LAW.sample(n, np.random.default_rng(2))


def _on_points(logpdf):
    """run(n) for the harness; the points are drawn once."""
    points = {n: _points(n) for n in (SHORT, FULL)}
    return lambda n: logpdf(points[n])


def logpdf_ours():
    """Return run(n): log density at n points."""
    from refdiff import fast

    return _on_points(lambda x: fast.logpdf(LAW, x))


def _scipy(x):
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    parts = zip(LAW.means, LAW.covs, strict=True)
    log_p = [multivariate_normal(mean, cov).logpdf(x) for mean, cov in parts]
    return logsumexp(np.stack(log_p, axis=1), axis=1, b=LAW.weights)


def _scipy_tuned(x):
    """The same in blocks that stay in the cache, on two threads."""
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(_scipy, np.split(x, len(x) // 5000))))


def _sklearn_model():
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(len(LAW.weights), random_state=0)
    model.weights_, model.means_, model.covariances_ = LAW.weights, LAW.means, LAW.covs
    upper = np.linalg.inv(np.linalg.cholesky(LAW.covs))
    model.precisions_cholesky_ = np.swapaxes(upper, 1, 2)
    return model


def logpdf_sklearn():
    """Return run(n) by GaussianMixture.score_samples."""
    return _on_points(_sklearn_model().score_samples)


def sample_ours():
    """Return run(n): n draws from the mixture."""
    from refdiff import fast

    seeds = iter(range(1000))
    return lambda n: fast.sample(LAW, n, seed=next(seeds))


def sample_numpy():
    """Return run(n) as a user writes it: a component each, then its Gaussian."""
    rng, roots = np.random.default_rng(1), np.linalg.cholesky(LAW.covs)

    def run(n):
        k = rng.choice(len(LAW.weights), n, p=LAW.weights)
        z = rng.standard_normal((n, 2))
        return LAW.means[k] + np.einsum("nij,nj->ni", roots[k], z)

    return run


def sample_numpy_tuned():
    """Return run(n) one coordinate at a time, in blocks on two threads."""
    edges, block = np.cumsum(LAW.weights)[:-1], 10_000
    means, roots = LAW.means, np.linalg.cholesky(LAW.covs)

    def draw(x, rng):
        k = np.searchsorted(edges, rng.random(len(x)))
        z1, z2 = rng.standard_normal((2, len(x)))
        x[:, 0] = means[k, 0] + roots[k, 0, 0] * z1
        x[:, 1] = means[k, 1] + roots[k, 1, 0] * z1 + roots[k, 1, 1] * z2

    def run(n):
        blocks = np.split(x := np.empty((n, 2)), n // block)
        seeds = np.random.SeedSequence(1).spawn(len(blocks))
        rngs = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(draw, blocks, rngs))
        return x

    return run


def sample_sklearn():
    """Return run(n) by GaussianMixture.sample."""
    model = _sklearn_model()
    return lambda n: model.sample(n)[0]


def _peer(library, function):
    return getattr(import_module(f"tests.bench.points_{library}"), function)(LAW)


def rows(quick: bool) -> list[Row]:
    """Return the two rows; they are short anyway."""
    densities = {
        "SciPy": lambda: _on_points(_scipy),
        "SciPy, tuned": lambda: _on_points(_scipy_tuned),
        "scikit-learn": logpdf_sklearn,
    }
    samples = {
        "NumPy": sample_numpy,
        "NumPy, tuned": sample_numpy_tuned,
        "scikit-learn": sample_sklearn,
        "torch": partial(_peer, "torch", "sample"),
        "torch, tuned": partial(_peer, "torch", "sample_tuned"),
        "torch.compile, tuned": partial(_peer, "torch", "sample_compiled"),
        "JAX": partial(_peer, "jax", "sample"),
        "JAX, tuned": partial(_peer, "jax", "sample_tuned"),
    }
    size, unit = (SHORT, FULL), "points"
    exact, law = same_numbers(1e-11), same_law(LAW)
    return [
        Row("mixture log density", logpdf_ours, densities, *size, exact, 40, 100, unit),
        Row("mixture sampling", sample_ours, samples, *size, law, 2.5, 10, unit),
    ]
