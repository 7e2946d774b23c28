"""What a tour found: samples, their distances beside noise floors, bounds; its table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refdiff import metrics
from refdiff._check import Array
from refdiff.data import Data

METRICS = (metrics.sliced_w2, metrics.energy_distance)
POINTS = 2000  # fresh points on which a bound is estimated


@dataclass(frozen=True, eq=False)
class Run:
    """One sampler with one model: its path (few particles), samples and distances.

    bound: the evidence lower bound of fresh data, in nats, and its standard error;
    None where the model has none
    """

    sampler: str
    model: str
    evaluations: int
    seconds: float
    samples: Array
    path: Array
    w2: float
    energy: float
    bound: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What the tour found: the runs, and the noise floors of the two distances.

    log_likelihood: the data's own, in nats, on the points of the bounds; None where it
    is not known; note: what else there is to say
    """

    runs: list[Run]
    w2_floor: float
    energy_floor: float
    log_likelihood: float | None
    note: str = ""

    @property
    def best(self) -> Run:
        """The run whose samples are written: the first, which is the learned one."""
        return self.runs[0]


def distances(x: Array, fresh: Callable[[], Array]) -> list[float]:
    """Each metric's distance of samples x from fresh data, the median of five."""
    return [np.median([metric(x, fresh()) for _ in range(5)]) for metric in METRICS]


def result(
    data: Data,
    runs: list[Run],
    fresh: Callable[[], Array],
    rng: np.random.Generator,
    note: str = "",
) -> Result:
    """Put the runs beside the noise floors and the data's own log-likelihood."""
    floors = [metrics.noise_floor(metric, fresh) for metric in METRICS]
    known = data.exact.has_density
    own = data.exact.logpdf(data.draw(POINTS, rng)).mean() if known else None
    return Result(runs, *floors, own, note)


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
    lines += ["", *_bounds(result), *filter(None, [result.note])]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


def _bounds(result):
    """Lines of the bounds, below what they bound; for a user's points not the exact
    model's, which has learned them by heart.
    """
    known = result.log_likelihood is not None
    bounded = [run for run in result.runs if run.bound]
    if known and bounded:
        yield f"log-likelihood of fresh data  {result.log_likelihood:9.3f} nats"
    for run in bounded if known else bounded[:1]:
        value, error = run.bound
        yield f"{f'bound, {run.model}':28}  {value:9.3f} nats, +-{error:.3f}"
