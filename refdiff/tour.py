"""The tour: learn a diffusion model of 2-D data, and set the exact truth beside it.

One network is trained to predict noise. The same ancestral chain is then run with the
network and with the exact optimum, so that what training got wrong and what the
sampler gets wrong are seen apart.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from refdiff import ddpm, forward, losses, metrics, schedule, train
from refdiff._check import Array
from refdiff.data import Data
from refdiff.net import MLP
from refdiff.targets import Model, eps_model

METRICS = (metrics.sliced_w2, metrics.energy_distance)
BOX = 3.0  # half the width of a panel, in standard units


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a tour."""

    data: str = "moons"
    T: int = 100
    steps: int = 4000
    batch: int = 256
    lr: float = 5e-3
    seed: int = 0

    def rng(self, stream: int) -> np.random.Generator:
        """Return the generator of one purpose: 0 data, 1 training, 2 sampling, 3 metrics."""
        return np.random.default_rng([self.seed, stream])


def training(
    settings: Settings, data: Data, state: train.State | None = None
) -> Iterator[train.State]:
    """Train the noise predictor in float32, from a fresh network or from a state.

    -> states up to `settings.steps`, each with the loss of its batch
    """
    sched = schedule.cosine(settings.T)
    net = network(settings, data)
    rng = settings.rng(1)

    def loss_grad(params, rng):
        x0 = data.draw(settings.batch, rng)
        t = rng.integers(1, settings.T + 1, settings.batch)
        eps = rng.standard_normal(x0.shape)
        return losses.loss(params, net, x0, t, eps, sched)

    if state is None:
        state = train.start(net.init(rng, np.float32), rng)
    rate = train.cosine_decay(settings.lr, settings.steps)
    left = max(0, settings.steps - state.step)
    yield from islice(train.fit(loss_grad, state, lr=rate), left)


def network(settings: Settings, data: Data) -> MLP:
    """Return the tour's network: three hidden layers of 128."""
    return MLP(data.exact.d, settings.T)


def learned_model(settings: Settings, data: Data, params: Array) -> Model:
    """Return the trained network as a model for `Chain.run`."""
    net = network(settings, data)
    return eps_model(lambda x, t: net.predict(params, x, t))


def save_model(path: str, state: train.State, settings: Settings) -> None:
    """Write a checkpoint that `load_model` reads."""
    train.save(path, state, settings=json.dumps(asdict(settings)))


def load_model(path: str) -> tuple[train.State, Settings]:
    """Read a checkpoint of `save_model`; ValueError if it is not one."""
    state, extra = train.load(path)
    try:
        return state, Settings(**json.loads(extra["settings"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint of the tour") from error


@dataclass(frozen=True, eq=False)
class Run:
    """One sampler with one model: its path (few particles), samples and distances."""

    sampler: str
    model: str
    evaluations: int
    seconds: float
    samples: Array
    path: Array
    w2: float
    energy: float


@dataclass(frozen=True, eq=False)
class Result:
    """What the tour found: both runs, and the noise floors of the two distances."""

    runs: list[Run]
    w2_floor: float
    energy_floor: float


def compare(settings: Settings, data: Data, params: Array, n: int = 10_000) -> Result:
    """Sample with the learned and the exact model, and measure both against fresh data.

    params (size,): the network's (the moving average); n: samples, and fresh points.
    Both models are run from the same noise; a distance is the median over 5 fresh samples.
    """
    chain = ddpm.ddpm_chain(schedule.cosine(settings.T))
    rng = settings.rng(3)

    def fresh():
        return data.draw(n, rng)

    learned = learned_model(settings, data, params)
    runs = [
        _run(name, chain, model, settings, fresh)
        for name, model in (("learned", learned), ("exact", data.exact.model))
    ]
    floors = [metrics.noise_floor(metric, fresh) for metric in METRICS]
    return Result(runs, *floors)


def _run(name, chain, model, settings, fresh):
    """Run the chain with one model, and measure its samples."""
    shape, noise, began = fresh().shape, settings.rng(2), time.perf_counter()
    path = []
    for x in chain.run(noise.standard_normal(shape), model, rng=noise):
        path.append(x[:60])
    seconds = time.perf_counter() - began
    distances = [
        np.median([metric(x, fresh()) for _ in range(5)]) for metric in METRICS
    ]
    sampler = "ancestral, sigma_q"
    return Run(sampler, name, chain.evaluations, seconds, x, np.array(path), *distances)


def report(result: Result) -> str:
    """Return the table: each distance beside its noise floor, and their ratio."""
    head = (
        f"{'':20}{'':9}{'model':>7}{'':>9}   {'sliced W2':^22}   {'energy distance':^22}\n"
        f"{'sampler':20}{'model':9}{'evals':>7}{'seconds':>9}   "
        + "   ".join([f"{'distance':>8}{'floor':>8}{'ratio':>6}"] * 2)
    )
    lines = [head]
    for run in result.runs:
        cells = [
            f"{value:8.4f}{floor:8.4f}{value / floor:6.1f}"
            for value, floor in (
                (run.w2, result.w2_floor),
                (run.energy, result.energy_floor),
            )
        ]
        lines.append(
            f"{run.sampler:20}{run.model:9}{run.evaluations:7d}{run.seconds:9.1f}   "
            + "   ".join(cells)
        )
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


def picture(
    settings: Settings, data: Data, params: Array, result: Result, path: str
) -> None:
    """Write the picture: data and forward process above, score, paths, samples below."""
    from refdiff import plots  # Matplotlib is loaded only when something is drawn

    fig, axes = plots.figure(2, 4)
    _draw_forward(plots, axes[0], settings, data)
    _draw_score(plots, axes[1, 0], settings, data, params)
    learned, exact = result.runs
    plots.paths(axes[1, 1], learned.path, BOX, "reverse paths", plots.LEARNED)
    for ax, run, color in (
        (axes[1, 2], learned, plots.LEARNED),
        (axes[1, 3], exact, plots.EXACT),
    ):
        title = f"{run.model} model: {run.w2 / result.w2_floor:.1f} noise floors"
        law = data.exact if data.exact.has_density else None
        plots.cloud(ax, run.samples, title, color, BOX, law)
    fig.suptitle(f"{data.name}, standard units", fontsize=11)
    plots.save(fig, path)


def _draw_forward(plots, axes, settings, data):
    """Draw the data and three moments of the forward process."""
    sched, rng = schedule.cosine(settings.T), settings.rng(4)
    x0 = data.draw(20_000, rng)
    eps = rng.standard_normal(x0.shape)
    times = [0, settings.T // 5, settings.T // 2, settings.T]
    for ax, t in zip(axes, times, strict=True):
        law = data.exact.noised(sched.signal[t], sched.noise[t])
        title = f"forward process, t = {t}" if t else "data"
        xt = forward.q_sample(x0, t, eps, sched)
        plots.cloud(ax, xt, title, plots.DATA, BOX, law if law.has_density else None)


def _draw_score(plots, ax, settings, data, params):
    """Draw the learned score where the data are half forgotten."""
    t = max(1, settings.T // 5)
    level = schedule.cosine(settings.T).level(t)
    model = learned_model(settings, data, params)
    law = data.exact.noised(level.signal, level.noise)
    title = f"learned score at t = {t}"
    plots.field(ax, lambda x: model(x, level), law, BOX, title, plots.LEARNED)
