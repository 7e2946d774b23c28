"""The tour: learn a diffusion model of 2-D data, and set the exact truth beside it.

One network is trained to predict noise, or another target. The same ancestral chain is
then run with the network and with the exact optimum, so that what training got wrong
and what the sampler gets wrong are seen apart. `tour_vae` is the same for a VAE.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from refdiff import ddpm, elbo, forward, losses, metrics, schedule, targets, train
from refdiff._check import Array
from refdiff.data import Data
from refdiff.net import MLP
from refdiff.targets import Model, target_model

TARGETS = {
    target.name: target
    for target in (targets.EPS, targets.X0, targets.V, targets.SCORE, ddpm.MEAN)
}
WEIGHTS = {
    "snr": losses.weight_snr,
    "simple": None,
    "x0": losses.weight_x0,
    "snr+1": losses.weight_snr_plus_1,
    "truncated-snr": losses.weight_truncated_snr,
    "min-snr": losses.weight_min_snr(),
    "bound": losses.weight_bound(),
}
METRICS = (metrics.sliced_w2, metrics.energy_distance)
BOX = 3.0  # half the width of a panel, in standard units
POINTS = 2000  # fresh points on which a bound is estimated


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a tour."""

    data: str = "moons"
    model: str = "ddpm"
    target: str = "eps"
    weight: str = "snr"
    T: int = 100
    steps: int = 4000
    batch: int = 256
    lr: float = 5e-3
    seed: int = 0

    def rng(self, stream: int) -> np.random.Generator:
        """Return the generator of one purpose.

        0 data, 1 training, 2 sampling, 3 metrics, 4 the picture, 5 bounds
        """
        return np.random.default_rng([self.seed, stream])


def training(
    settings: Settings, data: Data, state: train.State | None = None
) -> Iterator[train.State]:
    """Train the network in float32, from a fresh one or from a state.

    -> states up to `settings.steps`, each with the loss of its batch
    """
    sched = schedule.cosine(settings.T)
    net = network(settings, data)
    target, weight = TARGETS[settings.target], WEIGHTS[settings.weight]

    def loss_grad(params, rng):
        x0 = data.draw(settings.batch, rng)
        t = rng.integers(1, settings.T + 1, settings.batch)
        eps = rng.standard_normal(x0.shape)
        return losses.loss(params, net, x0, t, eps, sched, target, weight)

    return descend(settings, loss_grad, net.init, state)


def descend(
    settings: Settings, loss_grad: Callable, init: Callable, state: train.State | None
) -> Iterator[train.State]:
    """Minimise loss_grad from init(rng, dtype), or from a state, up to `settings.steps`."""
    if state is None:
        rng = settings.rng(1)
        state = train.start(init(rng, np.float32), rng)
    rate = train.cosine_decay(settings.lr, settings.steps)
    left = max(0, settings.steps - state.step)
    return islice(train.fit(loss_grad, state, lr=rate), left)


def network(settings: Settings, data: Data) -> MLP:
    """Return the tour's network: three hidden layers of 128."""
    return MLP(data.exact.d, settings.T)


def learned_model(settings: Settings, data: Data, params: Array) -> Model:
    """Return the trained network as a model for `Chain.run`."""
    net, sched = network(settings, data), schedule.cosine(settings.T)
    target = TARGETS[settings.target]
    return target_model(lambda x, t: net.predict(params, x, t), target, sched)


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
    """One sampler with one model: its path (few particles), samples and distances.

    bound: the evidence lower bound of fresh data, in nats, and its standard error
    """

    sampler: str
    model: str
    evaluations: int
    seconds: float
    samples: Array
    path: Array
    w2: float
    energy: float
    bound: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Result:
    """What the tour found: the runs, and the noise floors of the two distances.

    log_likelihood: the data's own, in nats, on the points of the bounds; None where it
    is not known
    """

    runs: list[Run]
    w2_floor: float
    energy_floor: float
    log_likelihood: float | None


def compare(settings: Settings, data: Data, params: Array, n: int = 10_000) -> Result:
    """Sample with the learned and the exact model, and measure both against fresh data.

    params (size,): the network's (the moving average); n: samples, and fresh points.
    Both models are run from the same noise; a distance is the median over 5 fresh samples.
    """
    chain = ddpm.ddpm_chain(schedule.cosine(settings.T))
    rng = settings.rng(3)

    def fresh():
        return data.draw(n, rng)

    def one(name, model):
        noise, began, path = settings.rng(2), time.perf_counter(), []
        start = noise.standard_normal(fresh().shape)
        for x in chain.run(start, model, rng=noise):
            path.append(x[:60])
        seconds, path = time.perf_counter() - began, np.array(path)
        found = distances(x, fresh), bound(settings, data, model)
        label = "ancestral, sigma_q"
        return Run(
            label, name, chain.evaluations, seconds, x, path, *found[0], found[1]
        )

    learned = learned_model(settings, data, params)
    runs = [one("learned", learned), one("exact", data.exact.model)]
    return result(settings, data, runs, fresh)


def distances(x: Array, fresh: Callable[[], Array]) -> list[float]:
    """Each metric's distance of samples x from fresh data, the median of five."""
    return [np.median([metric(x, fresh()) for _ in range(5)]) for metric in METRICS]


def result(
    settings: Settings, data: Data, runs: list[Run], fresh: Callable[[], Array]
) -> Result:
    """Put the runs beside the noise floors and the data's own log-likelihood."""
    floors = [metrics.noise_floor(metric, fresh) for metric in METRICS]
    known = data.exact.has_density
    own = (
        data.exact.logpdf(data.draw(POINTS, settings.rng(5))).mean() if known else None
    )
    return Result(runs, *floors, own)


def bound(settings: Settings, data: Data, model: Model) -> tuple[float, float]:
    """Evidence lower bound of fresh data under a DDPM, in nats, and its standard error."""
    rng, sched = settings.rng(5), schedule.cosine(settings.T)
    x0 = data.draw(POINTS, rng)
    eps = rng.standard_normal((sched.T, *x0.shape))
    values = elbo.ddpm_elbo(x0, model, eps, sched).bound
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


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
    lines.append("")
    if result.log_likelihood is not None:
        lines.append(f"log-likelihood of fresh data  {result.log_likelihood:9.3f} nats")
    for run in result.runs:
        lines.append(f"{f'bound, {run.model}':28}  {run.bound[0]:9.3f} nats")
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
