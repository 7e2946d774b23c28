"""The tour: learn a diffusion model of 2-D data, and set the exact truth beside it.

One network is trained to predict noise, or another target. The same ancestral chain is
then run with the network and with the exact optimum, so that what training got wrong
and what the sampler gets wrong are seen apart. `tour_vae` is the same for a VAE.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice

import numpy as np

from refdiff import ddpm, elbo, forward, losses, schedule, targets, train
from refdiff._check import Array
from refdiff.data import Data
from refdiff.net import MLP
from refdiff.results import POINTS, Result, Run, distances, result
from refdiff.targets import Model, target_model

TARGETS = {
    target.name: target
    for target in (targets.EPS, targets.X0, targets.V, targets.SCORE, ddpm.MEAN)
}
WEIGHTS = {
    "simple": None,
    "snr": losses.weight_snr,
    "x0": losses.weight_x0,
    "snr+1": losses.weight_snr_plus_1,
    "truncated-snr": losses.weight_truncated_snr,
    "min-snr": losses.weighting_min_snr(),
    "bound": losses.weighting_bound(),
}
OWN_WEIGHT = {target: "simple" for target in ("eps", "x0", "v")}
OWN_WEIGHT |= {"score": "snr", "mean": "snr"}
BOX = 3.0  # half the width of a panel, in standard units


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a tour.

    weight "own" is the target's: simple for eps, x0 and v, snr for score and mean
    """

    data: str = "moons"
    model: str = "ddpm"
    target: str = "eps"
    weight: str = "own"
    T: int = 100
    steps: int = 4000
    batch: int = 256
    lr: float = 5e-3
    seed: int = 0

    def __post_init__(self):
        names = {
            "model": ("ddpm", "vae", "ncsn"),
            "target": TARGETS,
            "weight": ("own", *WEIGHTS),
        }
        for name, known in names.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}")

    @property
    def weighting(self) -> str:
        """Name of the weighting, the target's own one looked up."""
        return OWN_WEIGHT[self.target] if self.weight == "own" else self.weight

    @property
    def note(self) -> str:
        """What is trained, in one line."""
        kind = f"DDPM predicting {self.target}, weight {self.weighting}, T = {self.T}"
        others = {"vae": "VAE with 2 latents", "ncsn": "NCSN, 20 levels of noise"}
        kind = others.get(self.model, kind)
        return f"{kind}: {self.steps} steps of {self.batch} points"

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
    target, weight = TARGETS[settings.target], WEIGHTS[settings.weighting]

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


def start(given: dict, path: str | None) -> tuple[train.State | None, Settings]:
    """Return what to start from: a fresh tour, or the saved model at a path.

    given: the command line's settings, None where nothing was said
    ValueError where they have no meaning, or are not those of the saved model.
    """
    given = {name: value for name, value in given.items() if value is not None}
    state, settings = load_model(path) if path else (None, Settings())
    for name in given.keys() & {"T", "target", "weight"}:
        model = given.get("model", settings.model)
        if model != "ddpm":
            raise ValueError(f"--{name} has no meaning for --model {model}")
    if path:
        for name in given.keys() - {"steps"}:
            was = getattr(settings, name)
            if given[name] != was:
                raise ValueError(f"--{name}: {path} was trained with {was}")
    return state, replace(settings, **given)


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
    return result(data, runs, fresh, settings.rng(5))


def bound(settings: Settings, data: Data, model: Model) -> tuple[float, float]:
    """Evidence lower bound of fresh data under a DDPM, in nats, and its standard error."""
    rng, sched = settings.rng(5), schedule.cosine(settings.T)
    x0 = data.draw(POINTS, rng)
    eps = rng.standard_normal((sched.T, *x0.shape))
    values = elbo.ddpm_elbo(x0, model, eps, sched).bound
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


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
    fig.suptitle(f"{data.name}, standard units; {settings.note}", fontsize=10)
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
