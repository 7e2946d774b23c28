"""The one idea: a sampler's step is affine, so it is read, run and checked as a table.

A step is written once, as its equation, in the chapter that it belongs to; `probe`
finds its coefficients, and no formula is typed twice. The table then runs with any model, and on Gaussian data, where the score is affine
too, it gives the exact law of the sampler's output, steps and all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite, generator
from refdiff.mixture import Mixture
from refdiff.schedule import Level


@dataclass(frozen=True, eq=False)
class Chain:
    """Rows X <- A X + b model(X[0]; level) + c z over R registers; X[0] is the state.

    The model's output is the score, or x0_hat in rows where signal = 0.
    A (M, R, R), b (M, R), c (M, R); signal, noise, t (M,): each row's level (nan where
    b = 0 and no model is asked); ends (M,): True where a step is complete.
    R = 1 for first-order steps; a stage of a solver is a row, memory is a register.
    Source: definition
    Test: test_chain.py::test_a_chain_runs_as_its_steps_do
    """

    A: Array
    b: Array
    c: Array
    signal: Array
    noise: Array
    t: Array
    ends: Array

    @property
    def steps(self) -> int:
        """Number of steps; each has one z.

        Source: definition
        Test: test_chain.py::test_registers_and_evaluations_are_as_few_as_the_method_has
        """
        return int(self.ends.sum())

    @property
    def evaluations(self) -> int:
        """Number of model evaluations in one run.

        Source: definition
        Test: test_chain.py::test_registers_and_evaluations_are_as_few_as_the_method_has
        """
        return int(self.b.any(axis=1).sum())

    def level(self, k: int) -> Level:
        """Return the Level at which row k asks the model.

        Source: definition
        Test: test_chain.py::test_tabulate_finds_the_three_numbers
        """
        return Level(float(self.signal[k]), float(self.noise[k]), float(self.t[k]))

    def then(self, other: "Chain") -> "Chain":
        """Return the chain that runs this one and then the other, whose memory is empty.

        Source: definition
        Test: test_chain.py::test_a_chain_may_go_on_with_another
        """
        R = max(self.A.shape[1], other.A.shape[1])
        parts = []
        for part in (self, other):
            wide = R - part.A.shape[1]
            A = np.pad(part.A, ((0, 0), (0, wide), (0, wide)))
            b, c = (np.pad(column, ((0, 0), (0, wide))) for column in (part.b, part.c))
            parts.append([A, b, c, part.signal, part.noise, part.t, part.ends])
        parts[1][0][0, :, 1:] = 0  # what the first left in its registers is not read
        return Chain(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))

    def run(
        self,
        x: Array,
        model: Callable[[Array, Level], Array],
        *,
        rng: np.random.Generator | None = None,
        z: Array | None = None,
    ) -> Iterator[Array]:
        """Run from x, and yield the state before the first step and after each step.

        x (n, d); model(x, level) -> (n, d), see Chain; the noise is drawn from rng, or
        given as z (steps, n, d)  ->  iterator over steps + 1 fresh float64 arrays,
        so that `*path, x0 = chain.run(...)` works. Arguments are checked at once:
        ValueError or TypeError that names the bad one.
        Source: definition
        Test: test_chain.py::test_a_chain_runs_as_its_steps_do
        """
        (x,) = finite(x=x)
        if x.ndim != 2:
            raise ValueError(f"x must be (n, d); got shape {x.shape}")
        if not callable(model):
            raise TypeError(f"model must be callable; got {type(model).__name__}")
        if self.c.any() and (rng is None) == (z is None):
            raise ValueError("give rng or z, one of the two")
        if rng is not None:
            generator(rng)
        if z is not None:
            (z,) = finite(z=z)
            if z.shape != (self.steps, *x.shape):
                want = (self.steps, *x.shape)
                raise ValueError(f"z must be {want}; got shape {z.shape}")
        return self._states(x, model, rng, z)

    def _states(self, x, model, rng, z):
        X = np.zeros((self.A.shape[1], *x.shape))
        X[0] = x
        step = 0
        yield X[0].copy()
        for k in range(len(self.ends)):
            X_next = np.einsum("rs,snd->rnd", self.A[k], X)
            if self.b[k].any():
                output = np.asarray(model(X[0], self.level(k)))
                if output.shape != x.shape:
                    raise ValueError(
                        f"model must return {x.shape}; got shape {output.shape}"
                    )
                X_next += self.b[k][:, None, None] * output
            if self.c[k].any():
                noise = rng.standard_normal(x.shape) if z is None else z[step]
                X_next += self.c[k][:, None, None] * noise
            X = X_next
            if self.ends[k]:
                step += 1
                yield X[0].copy()

    def law(
        self,
        mean: Array,
        cov: Array,
        start_mean: Array | None = None,
        start_cov: Array | None = None,
    ) -> tuple[Array, Array]:
        """Exact law of every state when the data are N(mean, cov) and the model is exact.

        score = -S^-1 (x - signal mean),  S = signal^2 cov + noise^2 I: affine, so
        the registers stay Gaussian: mean <- F mean + f,  cov <- F cov F^T + c c^T (x) I
        mean (d,), cov (d, d); the start is N(0, I) unless given
        -> means (steps+1, d), covs (steps+1, d, d)
        ValueError for bad shapes, entries or covariances, or where S is singular; and if no
        start is given where the first level's noise is above 2, as for VE.
        Source: definition
        Test: test_chain.py::test_law_is_the_law_of_the_runs
        """
        mean, cov = _checked_law(mean, cov, len(np.atleast_1d(mean)))
        d, R = len(mean), self.A.shape[1]
        m, P = np.zeros(R * d), np.zeros((R * d, R * d))
        self._fits_start(start_cov)
        start_mean = np.zeros(d) if start_mean is None else start_mean
        start_cov = np.eye(d) if start_cov is None else start_cov
        m[:d], P[:d, :d] = _checked_law(start_mean, start_cov, d)
        means, covs = [m[:d]], [P[:d, :d]]
        for k in range(len(self.ends)):
            F, f = np.kron(self.A[k], np.eye(d)), np.zeros(R * d)
            if self.b[k].any():
                G, g = _gaussian_model(mean, cov, self.level(k))
                F[:, :d] += np.kron(self.b[k][:, None], G)
                f = np.kron(self.b[k], g)
            noise = np.kron(np.outer(self.c[k], self.c[k]), np.eye(d))
            m, P = F @ m + f, F @ P @ F.T + noise
            if self.ends[k]:
                means.append(m[:d])
                covs.append(P[:d, :d])
        return np.array(means), np.array(covs)

    def _fits_start(self, start_cov):
        """Refuse N(0, I) for a start where the first level that is asked is noisier."""
        asked = self.b.any(axis=1)
        first = self.noise[asked][0] if asked.any() else 0.0
        if start_cov is None and first > 2:
            raise ValueError(
                f"start_cov must be given: the first level has noise {first}"
            )


def _checked_law(mean, cov, d):
    """Mean (d,) and covariance (d, d), refused unless they are those of some law."""
    mean, cov = finite(mean=mean, cov=cov)
    if mean.shape != (d,) or cov.shape != (d, d):
        raise ValueError(
            f"mean must be ({d},) and cov ({d}, {d}); got {mean.shape} and {cov.shape}"
        )
    one = Mixture(np.ones(1), mean[None], cov[None])  # checks that cov is a covariance
    return one.mean, one.covs[0]


def _gaussian_model(mean, cov, level):
    """The exact model G x + g for data N(mean, cov)."""
    if level.signal == 0:
        return np.zeros_like(cov), mean
    L = gaussian.cholesky(level.signal**2 * cov + level.noise**2 * np.eye(len(mean)))
    precision = gaussian.unwhiten(L, gaussian.whiten(L, np.eye(len(mean))))
    return -precision, level.signal * precision @ mean
