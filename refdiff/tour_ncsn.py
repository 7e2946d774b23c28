"""The tour of a noise-conditional score network, sampled by annealed Langevin dynamics.

It has the functions of `tour` that the command line asks for. The largest noise is about
the distance between the farthest points of a toy, so that every mode is found; the least
is below the width of the narrowest. Points of your own may lie farther apart.
"""

import time
from collections.abc import Iterator

import numpy as np

from refdiff import langevin, matching, train
from refdiff._check import Array
from refdiff.data import Data
from refdiff.net import MLP
from refdiff.results import POINTS, Result, Run, distances, result
from refdiff.schedule import Level
from refdiff.targets import Model
from refdiff.tour import BOX, Settings, descend

SIGMA = langevin.ladder(0.02, 5.0, 20)  # in standard units
REPEAT, EPS = 10, 0.4 * SIGMA[0] ** 2  # steps at a level; alpha = 0.4 sigma^2


def network(settings: Settings, data: Data) -> MLP:
    """Return the tour's network: three hidden layers of 128."""
    return MLP(data.exact.d, len(SIGMA))


def training(
    settings: Settings, data: Data, state: train.State | None = None
) -> Iterator[train.State]:
    """Train the score network in float32, from a fresh one or from a state.

    -> states up to `settings.steps`, each with the loss of its batch
    """
    net = network(settings, data)

    def loss_grad(params, rng):
        x0 = data.draw(settings.batch, rng)
        i = rng.integers(1, len(SIGMA) + 1, settings.batch)
        return matching.ncsn_loss(
            params, net, x0, rng.standard_normal(x0.shape), i, SIGMA
        )

    return descend(settings, loss_grad, net.init, state)


def learned_model(settings: Settings, data: Data, params: Array) -> Model:
    """Return the trained network as a model for `Chain.run`."""
    net = network(settings, data)

    def y_hat(x, t):
        return net.predict(params, x, t)

    return lambda x, level: matching.ncsn_model(y_hat, x, level)


def compare(settings: Settings, data: Data, params: Array, n: int = 10_000) -> Result:
    """Sample n points with the learned and the exact score, and measure both.

    Both are run from the same noise; a distance is the median over 5 fresh samples.
    """
    chain, rng = langevin.annealed_chain(SIGMA, EPS, REPEAT), settings.rng(3)

    def fresh():
        return data.draw(n, rng)

    def one(name, model):
        noise, began, path = settings.rng(2), time.perf_counter(), []
        start = SIGMA[-1] * noise.standard_normal(fresh().shape)
        for x in chain.run(start, model, rng=noise):
            path.append(x[:60])
        seconds, path = time.perf_counter() - began, np.array(path)
        label, counts = "annealed Langevin", (chain.evaluations, seconds)
        return Run(label, name, *counts, x, path, *distances(x, fresh))

    learned = learned_model(settings, data, params)
    runs = [one("learned", learned), one("exact", data.exact.model)]
    return result(
        data, runs, fresh, settings.rng(5), score_error(settings, data, learned)
    )


def score_error(settings: Settings, data: Data, model: Model) -> str:
    """How far the loss is above the least one, which the exact score would have.

    E lambda/2 ||s - score||^2, lambda = sigma^2, averaged over the levels: by Thm 3.4
    it is the excess of (3.13) over its minimum
    """
    rng, excess, least = settings.rng(5), [], []
    for i, sigma in enumerate(SIGMA, 1):
        x0 = data.draw(POINTS // 10, rng)
        x = x0 + sigma * rng.standard_normal(x0.shape)
        level = Level(1.0, float(sigma), float(i))
        error = model(x, level) - data.exact.model(x, level)
        excess.append(0.5 * sigma**2 * (error**2).sum(axis=1).mean())
        least.append(sigma**2 * matching.least_dsm(data.exact, x, sigma).mean())
    return f"loss (3.13): {np.mean(excess):.4f} above its least, {np.mean(least):.4f}"


def picture(
    settings: Settings, data: Data, params: Array, result: Result, path: str
) -> None:
    """Write the picture: data, score at two levels, where it errs; paths and samples."""
    from refdiff import plots  # Matplotlib is loaded only when something is drawn

    law = data.exact if data.exact.has_density else None
    model, (learned, exact) = learned_model(settings, data, params), result.runs
    fig, axes = plots.figure(2, 3)
    plots.cloud(
        axes[0, 0], data.draw(5000, settings.rng(4)), "data", plots.DATA, BOX, law
    )
    for ax, i in zip(axes[0, 1:], (8, 14), strict=True):
        level = Level(1.0, float(SIGMA[i - 1]), float(i))
        title = f"learned score, sigma = {level.noise:.2f}"
        at = data.exact.noised(1.0, level.noise)
        plots.field(ax, lambda x, at=level: model(x, at), at, BOX, title, plots.LEARNED)
    late = learned.path[len(learned.path) // 2 :]  # before, the noise exceeds the panel
    title = "the second half of paths"
    plots.paths(axes[1, 0], late, BOX, title, plots.LEARNED, "half way")
    for ax, run, color in (
        (axes[1, 1], learned, plots.LEARNED),
        (axes[1, 2], exact, plots.EXACT),
    ):
        title = f"{run.model} score: {run.w2 / result.w2_floor:.1f} noise floors"
        plots.cloud(ax, run.samples, title, color, BOX, law)
    fig.suptitle(f"{data.name}, standard units; {settings.note}", fontsize=10)
    plots.save(fig, path)
