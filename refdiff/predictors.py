"""Predictor and corrector: the reverse steps of DDPM and SMLD, repaired by Langevin.

A predictor goes from one noise level to the next lower one; a corrector is a Langevin
step that stays, with the score of that level. x, score, z are (..., d). `sched` is a
Schedule; sigma (N+1,) rises, and i counts it as t does, so that x_N is the noisiest.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, finite, generator, positive, vectors, whole
from refdiff.chain import Chain
from refdiff.ddpm import mu_from_score
from refdiff.langevin import langevin_step
from refdiff.probe import tabulate
from refdiff.schedule import Level, Schedule
from refdiff.targets import Model


def reverse_step(xt: Array, t: int, score: Array, z: Array, sched: Schedule) -> Array:
    """One step of DDPM's reverse SDE, whose factor is the forward step's inverse.

    x_prev = [xt + beta[t] score] / sqrt(1 - beta[t]) + sqrt(beta[t]) z
    t in 1..T
    Source: Chan v3 (4.17), (4.23), Ex 4.7, Fig 4.6; Song21 (4). Departs: it prints beta/2 before
    the score, half of what the SDE has.
    Test: test_predictors.py::test_the_reverse_step_keeps_the_normal_law
    """
    xt, z = vectors(xt=xt, z=z)
    return mu_from_score(xt, t, score, sched) + np.sqrt(sched.at(t, first=1).beta) * z


def reverse_diffusion_step(
    xt: Array, t: int, score: Array, z: Array, sched: Schedule
) -> Array:
    """One step of DDPM's reverse SDE, discretised as its forward step is.

    x_prev = (2 - sqrt(1 - beta[t])) xt + beta[t] score + sqrt(beta[t]) z
    t in 1..T
    Source: Song21 E, Algorithm 3
    Test: test_predictors.py::test_predictors_are_the_reverse_sde_to_first_order
    """
    now, (xt, score, z) = sched.at(t, first=1), vectors(xt=xt, score=score, z=z)
    return (2 - np.sqrt(now.alpha)) * xt + now.beta * score + np.sqrt(now.beta) * z


def _gap(i, sigma):
    """Variance sigma_i^2 - sigma_{i-1}^2, factored, of a checked ladder."""
    sigma = _ladder(sigma)
    whole(i=i)
    if i >= len(sigma):
        raise ValueError(f"i must be in 1..{len(sigma) - 1}; got {i}")
    return (sigma[i] - sigma[i - 1]) * (sigma[i] + sigma[i - 1])


def _ladder(sigma):
    """Levels sigma[0..N], refused unless they rise from at least 0."""
    (sigma,) = finite(sigma=sigma)
    rises = sigma.ndim == 1 and len(sigma) > 1 and (np.diff(sigma) > 0).all()
    if not rises or sigma[0] < 0:
        raise ValueError(f"sigma must be (N+1,) and rise from 0 or above; got {sigma}")
    return sigma


def smld_forward_step(x_prev: Array, i: int, z: Array, sigma: Array) -> Array:
    """One forward step of SMLD: x_i = x_{i-1} + sqrt(sigma_i^2 - sigma_{i-1}^2) z.

    i in 1..N;  then Var x_i = Var x_0 + sigma_i^2 - sigma_0^2
    Source: Chan v3 (4.18). Departs: it says Var x_i = sigma_i^2, which leaves out the
    data.
    Test: test_predictors.py::test_the_forward_step_of_smld_is_exact_at_the_levels
    """
    x_prev, z = vectors(x_prev=x_prev, z=z)
    return x_prev + np.sqrt(_gap(i, sigma)) * z


def smld_reverse_step(x: Array, i: int, score: Array, z: Array, sigma: Array) -> Array:
    """One reverse-diffusion step of SMLD, from sigma_i to sigma_{i-1}.

    x_prev = x + (sigma_i^2 - sigma_{i-1}^2) score + sqrt(sigma_i^2 - sigma_{i-1}^2) z
    i in 1..N
    Source: Chan v3 (4.21); Song21 Algorithm 2. Departs: it is called SMLD's own
    update, which is `smld_ancestral_step`.
    Test: test_predictors.py::test_predictors_are_the_reverse_sde_to_first_order
    """
    (x, score, z), gap = vectors(x=x, score=score, z=z), _gap(i, sigma)
    return x + gap * score + np.sqrt(gap) * z


def smld_ancestral_step(
    x: Array, i: int, score: Array, z: Array, sigma: Array
) -> Array:
    """One ancestral step of SMLD: the posterior q(x_{i-1} | x_i, x0) at x0_hat.

    x_prev = x + (sigma_i^2 - sigma_{i-1}^2) score
             + sqrt(sigma_{i-1}^2 (sigma_i^2 - sigma_{i-1}^2) / sigma_i^2) z
    i in 1..N;  no noise where sigma_{i-1} = 0
    Source: Song21 F
    Test: test_predictors.py::test_the_ancestral_step_is_the_posterior
    """
    (x, score, z), gap = vectors(x=x, score=score, z=z), _gap(i, sigma)
    return x + gap * score + sigma[i - 1] / sigma[i] * np.sqrt(gap) * z


class Predictor(NamedTuple):
    """A predictor's levels, from the noisiest on, and step(k, x, score, z) to level k + 1.

    Source: definition
    Test: test_predictors.py::test_a_chain_corrects_what_was_predicted
    """

    levels: list[Level]
    step: Callable[[int, Array, Array, Array], Array]


def vp_predictor(sched: Schedule, step: Callable = reverse_step) -> Predictor:
    """Return a predictor of DDPM: step(xt, t, score, z, sched) from t = T down to 1.

    Source: Chan v3 Box 4.4 inference, (4.23). Departs: its loop ends at x_{-1}.
    Test: test_predictors.py::test_a_chain_corrects_what_was_predicted
    """
    levels = [sched.level(t) for t in range(sched.T, -1, -1)]
    return Predictor(
        levels, lambda k, x, score, z: step(x, sched.T - k, score, z, sched)
    )


def ve_predictor(sigma: Array, step: Callable = smld_reverse_step) -> Predictor:
    """Return a predictor of SMLD: step(x, i, score, z, sigma) from i = N down to 1.

    A model is asked at level (1, sigma[i]) with label i.
    Source: Chan v3 4.4
    Test: test_predictors.py::test_a_chain_corrects_what_was_predicted
    """
    sigma = _ladder(sigma)
    N = len(sigma) - 1
    levels = [Level(1.0, float(sigma[i]), float(i)) for i in range(N, -1, -1)]
    return Predictor(levels, lambda k, x, score, z: step(x, N - k, score, z, sigma))


def pc_chain(predictor: Predictor, corrections: int = 0, size: float = 0.1) -> Chain:
    """Return predictor-corrector sampling as a Chain: each prediction, then corrections.

    A correction is a Langevin step of fixed size eps = size noise^2 with the score of the
    level that was reached, so that it vanishes where there is no noise.
    ValueError if corrections is below 0 or size outside (0, 2), where the steps diverge.
    Source: Chan v3 Box 4.4 inference, (4.24). Departs: it corrects the point before the
    prediction, which is then lost; and SMLD's has grad s, and sqrt(eps) for sqrt(2 eps).
    Test: test_predictors.py::test_a_chain_corrects_what_was_predicted
    """
    whole(0, corrections=corrections)
    if not 0 < size < 2:
        raise ValueError(f"size must be in (0, 2); got {size}")

    def predict(k):
        now = predictor.levels[k]
        return lambda x, z, model: predictor.step(k, x, model(x, now), z)

    def correct(level):
        eps = size * level.noise**2
        return lambda x, z, model: langevin_step(x, model(x, level), eps, z)

    steps = []
    for k, reached in enumerate(predictor.levels[1:]):
        repeat = corrections if reached.noise else 0
        steps += [predict(k), *[correct(reached)] * repeat]
    return tabulate(steps)


def corrector_size(
    score: Array, z: Array, r: float, alpha: float = 1.0, over_batch: bool = False
) -> Array:
    """Song's size of a Langevin step, from the data: eps = 2 alpha (r |z| / |score|)^2.

    r: its signal-to-noise ratio; alpha: 1 for VE, alpha_bar for VP (published code has
    1 - beta); over_batch: both norms averaged over the rows, as in the published code
    Since it depends on x and z its law is biased: one step from N(0, I), the truth, has
    variance 1 + 16 r^2/(d-2) + 4 r^4 (d+2)/(d-2), none for d <= 2; a fixed one 1 + 4 r^4.
    score, z (n, d)  ->  (n, 1), or (1, 1) over the batch
    ValueError if a score is zero, or shapes differ.
    Source: Song21 Algorithm 4 and Algorithm 5
    Test: test_predictors.py::test_the_bias_of_the_data_dependent_step
    """
    (score, z), _ = vectors(score=score, z=z), positive(r=r, alpha=alpha)
    if score.ndim != 2 or score.shape != z.shape:
        raise ValueError(f"score and z must be (n, d); got {score.shape}, {z.shape}")
    size, pull = (np.linalg.norm(v, axis=1, keepdims=True) for v in (z, score))
    if not (pull > 0).all():
        raise ValueError("score must not be zero: the step would be infinite")
    if over_batch:
        size, pull = (v.mean(axis=0, keepdims=True) for v in (size, pull))
    return 2 * alpha * (r * size / pull) ** 2


def pc_sample(
    predictor: Predictor,
    x: Array,
    model: Model,
    corrections: int,
    r: float,
    rng: np.random.Generator,
    over_batch: bool = False,
) -> Iterator[Array]:
    """Yield the states of predictor-corrector sampling with Song's data-dependent steps.

    x (n, d)  ->  iterator over the start, and the state after each level's corrections
    Source: Song21 Algorithm 2 and 3, with the corrections after the predictions
    Test: test_predictors.py::test_the_bias_of_the_data_dependent_step
    """
    (x,) = finite(x=x)
    generator(rng)
    whole(0, corrections=corrections)
    positive(r=r)
    return _pc_sample(predictor, x, model, corrections, r, rng, over_batch)


def _pc_sample(predictor, x, model, corrections, r, rng, over_batch):
    levels = predictor.levels
    yield x
    for k, (now, reached) in enumerate(pairwise(levels)):
        x = predictor.step(k, x, model(x, now), rng.standard_normal(x.shape))
        for _ in range(corrections if reached.noise else 0):
            score, z = model(x, reached), rng.standard_normal(x.shape)
            eps = corrector_size(score, z, r, reached.signal**2, over_batch)
            x = x + eps * score + np.sqrt(2 * eps) * z
        yield x
