"""One learned score, every sampler: quality against evaluations of the network.

The tour's DDPM network is trained at t = 1..T. At time t/T the cosine SDE has the
marginals of its schedule (but for the last step, whose beta is capped), so the network
is a score for every time between. `tour` trains it; here are the functions that follow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff import metrics, reversal, targets
from refdiff._check import Array
from refdiff.data import Data
from refdiff.samplers import SAMPLERS, Sampler, denoised
from refdiff.sde import SDE, cosine_beta, vp
from refdiff.targets import Model
from refdiff.tour import BOX, Settings, network

FORMS = {
    "eps": targets.eps_model,
    "x0": targets.x0_model,
    "v": targets.v_model,
    "score": targets.score_model,
}
START = 0.99  # nearer to 1, few steps raise what the network gets wrong by 1 / signal
BUDGETS = (8, 16, 32, 64, 128)  # evaluations of the model
POINTS, WORK = 4000, 250_000  # most points, and points times Gaussians, of a run
COLORS = (
    *("#6baed6", "#2171b5", "#08306b"),  # Runge-Kutta
    *("#86c97f", "#41ab5d", "#00592d", "#b8a000"),  # exponential integrators
    *("#b39ddb", "#5e35b1"),  # EDM
    *("#fdae6b", "#e6550d", "#e7298a", "#67000d"),  # the reverse SDE
)
SHOWN = ("ancestral", "DDIM", "DPM-Solver++(2M)")  # as clouds, on the least budget


class Trial(NamedTuple):
    """One sampler on one budget with one model: samples (n, d), distance in floors."""

    sampler: str
    model: str
    budget: int
    evaluations: int
    samples: Array
    ratio: float


@dataclass(frozen=True, eq=False)
class Study:
    """What the tour of all samplers found; floor: the noise floor of sliced W2."""

    runs: list[Trial]
    floor: float

    @property
    def best(self) -> Trial:
        """The cheapest learned run at the floor; if none is, the nearest to it."""
        learned = (run for run in self.runs if run.model == "learned")
        return min(learned, key=lambda r: (max(1, r.ratio), r.evaluations, r.ratio))


def check(settings: Settings, sampler: str = "all") -> None:
    """ValueError where a sampler, ancestral or all, does not fit what a tour trains."""
    if settings.model != "ddpm":
        raise ValueError(f"--sampler has no meaning for --model {settings.model}")
    if sampler == "all" and settings.target not in FORMS:
        known = ", ".join(FORMS)
        raise ValueError(
            f"--sampler all: target {settings.target} is tied to the steps of its "
            f"schedule and has no continuous form; it must be one of {known}"
        )


def process() -> SDE:
    """Return the SDE of the tour's schedule: label T t of the network is time t."""
    return vp(cosine_beta(T=START))


def continuous_model(settings: Settings, data: Data, params: Array) -> Model:
    """Return the trained network as a score at any time of `process`.

    ValueError as `check`.
    """
    check(settings)
    net = network(settings, data)
    return FORMS[settings.target](lambda x, t: net.predict(params, x, settings.T * t))


def steps(sampler: Sampler, budget: int) -> int:
    """Most steps within a budget, of which the step to x0_hat takes one."""
    return (budget - 1) // sampler.evaluations


def trials() -> Iterator[tuple[Sampler, int]]:
    """Every sampler with every budget that gives it two steps or more."""
    for sampler in SAMPLERS:
        yield from ((sampler, b) for b in BUDGETS if steps(sampler, b) >= 2)


def compare(
    settings: Settings,
    data: Data,
    params: Array,
    n: int = POINTS,
    told: Callable[[str], None] = lambda text: None,
) -> Study:
    """Sample with every sampler and budget, with the learned and the exact model.

    Grids are even in log SNR and fall to 1/T, the least time that was trained; even in
    t, only DDIM, ancestral steps and their correction, and churned EDM do better.
    All runs start from the same noise; a distance is the median over 5 fresh samples.
    n: samples of a run, fewer where the exact model has many Gaussians
    told(text): progress, a line a sampler
    """
    n, rng, sde = (
        min(n, POINTS, WORK // len(data.exact.weights)),
        settings.rng(3),
        process(),
    )

    def draw():
        return data.draw(n, rng)

    fresh, floor = (
        [draw() for _ in range(5)],
        metrics.noise_floor(metrics.sliced_w2, draw),
    )
    learned, runs = continuous_model(settings, data, params), []
    for sampler, budget in trials():
        if not runs or runs[-1].sampler != sampler.name:
            told(f"{sampler.name} ({SAMPLERS.index(sampler) + 1} of {len(SAMPLERS)})")
        grid = reversal.snr_grid(sde, steps(sampler, budget), 1 / settings.T)
        chain = denoised(sampler, sde, grid)
        for name, model in (("learned", learned), ("exact", data.exact.model)):
            noise = settings.rng(2)
            *_, x = chain.run(
                noise.standard_normal((n, data.exact.d)), model, rng=noise
            )
            far = np.median([metrics.sliced_w2(x, y) for y in fresh])
            count = chain.evaluations
            runs.append(Trial(sampler.name, name, budget, count, x, far / floor))
    return Study(runs, floor)


def report(study: Study) -> str:
    """Return the table: a row a sampler, a column a budget, learned beside exact."""
    found = {run[:3]: run.ratio for run in study.runs}
    columns = [(model, budget) for model in ("learned", "exact") for budget in BUDGETS]

    def cell(ratio):
        return "-" if ratio is None else f"{ratio:.{ratio < 100:d}f}"

    def line(name, asks, cells):
        half = len(BUDGETS)
        left, right = (
            "".join(map("{:>6}".format, c)) for c in (cells[:half], cells[half:])
        )
        return f"{name:20}{asks:>6}{left}    {right}"

    best, wide, floor = study.best, 6 * len(BUDGETS), f"{study.floor:.4f}"
    price = f"{best.evaluations} evaluations, {best.ratio:.1f} floors"
    lines = [
        f"sliced W2 in noise floors, {len(best.samples)} points, by model evaluations",
        "",
        f"{'':20}{'evals':>6}{'learned, up to':>{wide}}    {'exact, up to':>{wide}}",
        line("sampler", "/step", [budget for _, budget in columns]),
    ]
    for sampler in SAMPLERS:
        cells = [cell(found.get((sampler.name, *column))) for column in columns]
        lines.append(line(sampler.name, sampler.evaluations, cells))
    lines += [
        "",
        "a run's last evaluation is the step to x0_hat; -: too few for two steps more",
        f"all runs share first noise, fresh data and floor ({floor}): tenths count",
        "between rows; a ratio on its own scatters by a half from seed to seed",
        f"cheapest learned at the floor, or nearest: {best.sampler}, {price}",
    ]
    return "\n".join(lines)


def picture(
    settings: Settings, data: Data, params: Array, study: Study, path: str
) -> None:
    """Write the picture: the curves of both models above, three clouds below."""
    from refdiff import plots  # Matplotlib is loaded only when something is drawn

    fig, axes = plots.figure(2, 3, 3.8)
    for ax, model in zip(axes[0], ("learned", "exact"), strict=False):
        _draw_curves(ax, study, model)
    axes[0, 2].axis("off")
    lines = axes[0, 0].get_lines()[1:]  # but that of fresh data
    title = "dashed: random; cut at 30"
    axes[0, 2].legend(handles=lines, title=title, loc="center left", frameon=False)
    law = data.exact if data.exact.has_density else None
    for ax, name in zip(axes[1], SHOWN, strict=True):
        (run,) = (r for r in study.runs if r[:3] == (name, "learned", BUDGETS[0]))
        title = f"{name}, {run.evaluations} evals: {run.ratio:.1f} floors"
        plots.cloud(ax, run.samples, title, plots.LEARNED, BOX, law)
    fig.suptitle(f"{data.name}, standard units; {settings.note}", fontsize=10)
    plots.save(fig, path)


def _draw_curves(ax, study, model):
    """Draw distances over evaluations on two logarithmic axes, cut at 30 floors."""
    ax.axhline(1, color="black", lw=0.8, ls=":")
    for sampler, color in zip(SAMPLERS, COLORS, strict=True):
        runs = [r for r in study.runs if (r.sampler, r.model) == (sampler.name, model)]
        at, ratio = ([r.evaluations for r in runs], [r.ratio for r in runs])
        style = "--o" if sampler.random else "-o"
        ax.plot(at, ratio, style, color=color, label=sampler.name, lw=1.5, ms=3.5)
    ax.set(xscale="log", yscale="log", ylim=(0.4, 30))
    ax.set_xticks(BUDGETS, map(str, BUDGETS))
    ax.set_xticks([], minor=True)
    ax.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    ax.set_yticks([], minor=True)
    ax.set(xlabel="evaluations of the model", ylabel="sliced W2 in noise floors")
    ax.set_title(f"{model} score, one for all samplers", fontsize=10)
