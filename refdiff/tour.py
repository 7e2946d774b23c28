"""The tour: learn a diffusion model of 2-D data, and set the exact truth beside it.

One network is trained to predict noise. The same ancestral chain is then run with the
network and with the exact optimum, so that what training got wrong and what the
sampler gets wrong are seen apart.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from refdiff import ddpm, metrics, mixture, schedule, toys, train
from refdiff._check import Array, finite
from refdiff.net import MLP
from refdiff.targets import eps_model

MOST_POINTS = 500  # of a user's data, for the optimal denoiser


@dataclass(frozen=True, eq=False)
class Data:
    """What the model is to learn, in standard units (x - shift) / scale.

    draw(n, rng) -> (n, d); exact: the mixture whose score is the truth to compare with
    """

    name: str
    draw: Callable[[int, np.random.Generator], Array]
    exact: mixture.Mixture
    shift: Array
    scale: float
    note: str


def load_data(name: str, rng: np.random.Generator) -> Data:
    """Return a toy by its name, or a user's points by the path of a .csv or .npy file.

    ValueError if it is neither, or the points are not a finite (n, 1) or (n, 2) array.
    """
    if name in toys.TOYS:
        law, shift, scale = toys.scaled(toys.TOYS[name]())
        note = f"{name}: a mixture of {len(law.weights)} Gaussians, fresh draws"
        return Data(name, law.sample, law, shift, scale, note)
    points = _read(name)
    n = len(points)
    shift, scale = points.mean(axis=0), float(np.sqrt(points.var(axis=0).mean()))
    if scale == 0:
        raise ValueError(f"{name}: all {n} points are the same")
    points = (points - shift) / scale
    few = points[np.sort(rng.choice(n, min(n, MOST_POINTS), replace=False))]
    note = (
        f"{name}: {n} points, drawn with replacement; 'exact' is the optimal denoiser"
    )
    note += f" of {len(few)} of them" if n > len(few) else " of all of them"
    return Data(
        name,
        lambda n, rng: points[rng.integers(0, len(points), n)],
        mixture.from_points(few),
        shift,
        scale,
        note,
    )


def _read(path):
    """Points (n, d) from a .npy file or a text file with one point a line."""
    if not Path(path).is_file():
        known = ", ".join(toys.TOYS)
        raise ValueError(f"--data {path} is neither a file nor a toy; toys: {known}")
    try:
        if Path(path).suffix == ".npy":
            points = np.load(path, allow_pickle=False)
        else:
            text = Path(path).read_text(encoding="utf-8-sig")
            rows = [r.replace(",", " ").split() for r in text.splitlines() if r.strip()]
            rows = rows[1:] if rows and not _is_number(rows[0][0]) else rows  # a header
            points = np.array([[float(cell) for cell in row] for row in rows])
        (points,) = finite(points=points)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--data {path}: {error}") from error
    if points.ndim != 2 or points.shape[1] not in (1, 2) or len(points) < 2:
        raise ValueError(
            f"--data {path}: points must be (n, 2) or (n, 1) with n >= 2; "
            f"got shape {points.shape}"
        )
    return points.astype(float)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
        return ddpm.eps_loss(params, net, x0, t, rng.standard_normal(x0.shape), sched)

    if state is None:
        state = train.start(net.init(rng, np.float32), rng)
    rate = train.cosine_decay(settings.lr, settings.steps)
    left = max(0, settings.steps - state.step)
    yield from islice(train.fit(loss_grad, state, lr=rate), left)


def network(settings: Settings, data: Data) -> MLP:
    """Return the tour's network: three hidden layers of 128."""
    return MLP(data.exact.d, settings.T)


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

    params (size,): the network's (the moving average); n: samples, and fresh points
    """
    chain = ddpm.ddpm_chain(schedule.cosine(settings.T))
    net = network(settings, data)
    models = {
        "learned": eps_model(lambda x, t: net.predict(params, x, t)),
        "exact": data.exact.model,
    }
    rng = settings.rng(3)

    def fresh():
        return data.draw(n, rng)

    runs = []
    for name, model in models.items():
        began, noise = time.perf_counter(), settings.rng(2)
        kept = []
        for x in chain.run(noise.standard_normal((n, data.exact.d)), model, rng=noise):
            kept.append(x[:60])
        runs.append(
            Run(
                "ancestral, sigma_q",
                name,
                chain.evaluations,
                time.perf_counter() - began,
                x,
                np.array(kept),
                *(
                    float(np.median([metric(x, fresh()) for _ in range(5)]))
                    for metric in (metrics.sliced_w2, metrics.energy_distance)
                ),
            )
        )
    return Result(
        runs,
        metrics.noise_floor(metrics.sliced_w2, fresh),
        metrics.noise_floor(metrics.energy_distance, fresh),
    )


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
    return "\n".join(lines)


def picture(settings: Settings, data: Data, params: Array, result: Result, path: str):
    """Write the picture: data and forward process above, score, paths, samples below."""
    from refdiff import plots  # Matplotlib is loaded only when something is drawn

    sched, law, box = schedule.cosine(settings.T), data.exact, 3.0
    fig, axes = plots.figure(2, 4)
    rng = settings.rng(4)
    x0 = data.draw(20_000, rng)
    eps = rng.standard_normal(x0.shape)
    shown = [0, settings.T // 5, settings.T // 2, settings.T]
    for ax, t in zip(axes[0], shown, strict=True):
        at_t = (
            law.noised(sched.signal[t], sched.noise[t])
            if t or law.has_density
            else None
        )
        title = "data" if t == 0 else f"forward process, t = {t}"
        xt = ddpm.q_sample(x0, t, eps, sched)
        plots.cloud(ax, xt, title, plots.DATA, box, at_t)
    learned, exact = result.runs
    t = max(1, settings.T // 5)
    level, net = sched.level(t), network(settings, data)
    model = eps_model(lambda x, t: net.predict(params, x, t))
    plots.field(
        axes[1, 0],
        lambda x: model(x, level),
        law.noised(level.signal, level.noise),
        box,
        f"learned score at t = {t}" + " over exact density" * (law.d == 2),
        plots.LEARNED,
    )
    plots.paths(axes[1, 1], learned.path, box, "reverse paths", plots.LEARNED)
    for ax, run, color in (
        (axes[1, 2], learned, plots.LEARNED),
        (axes[1, 3], exact, plots.EXACT),
    ):
        ratio = run.w2 / result.w2_floor
        title = f"{run.model} model: {ratio:.1f} noise floors"
        clean = law if law.has_density else None
        plots.cloud(ax, run.samples, title, color, box, clean)
    fig.suptitle(f"{data.name}, standard units", fontsize=11)
    plots.save(fig, path)
