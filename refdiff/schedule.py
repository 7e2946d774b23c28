"""Noise schedules: how fast the data is forgotten, as tables indexed by t = 0..T.

Every table has T + 1 entries with alpha_bar[0] = 1 and beta[0] = 0, so that t - 1 is
just an index and no second table of "previous" values exists. Libraries that count
from k = 0 have k = t - 1, and their extra "final alpha_cumprod = 1" is our t = 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, finite


class Level(NamedTuple):
    """Where a model is asked: x_t = signal x0 + noise eps, and the label t it was given."""

    signal: float
    noise: float
    t: float


class Row(NamedTuple):
    """One row of a schedule's tables, shaped to broadcast against x (..., d)."""

    alpha: Array
    beta: Array
    alpha_bar: Array
    signal: Array
    noise: Array
    noise2: Array


@dataclass(frozen=True, eq=False)
class Schedule:
    """Tables of x_t = sqrt(alpha[t]) x_{t-1} + sqrt(beta[t]) eps, for t = 0..T.

    alpha[t] + beta[t] = 1;  alpha_bar[t] = alpha[1] ... alpha[t]
    signal[t] = sqrt(alpha_bar[t]);  noise2[t] = noise[t]^2 = 1 - alpha_bar[t],
    by its own recursion alpha noise2 + beta, so that nothing is lost near t = 0
    label[t] is the time a network is told (t itself, unless respaced).
    Source: Chan v3 Def 2.1, Thm 2.2; Ho20 (2), (4)
    Test: test_schedule.py::test_tables_agree_with_50_digits
    """

    alpha: Array
    beta: Array
    alpha_bar: Array
    signal: Array
    noise: Array
    noise2: Array
    label: Array

    @property
    def T(self) -> int:
        """Number of steps.

        Source: definition
        Test: test_schedule.py::test_the_three_ways_to_give_a_table_agree
        """
        return len(self.alpha) - 1

    @property
    def snr(self) -> Array:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar), (T+1,), infinite at t = 0.

        Source: Kingma21 for the signal-to-noise ratio
        Test: test_schedule.py::test_snr_weights_are_half_the_snr_difference
        """
        with np.errstate(divide="ignore"):
            return self.alpha_bar / self.noise2

    def at(self, t: int | Array, first: int = 0) -> Row:
        """Return the tables' entries at t, one number a row of x.

        t int or int array (...), from first to T  ->  Row of arrays (..., 1)
        TypeError if t is not of integers, ValueError if it is outside first..T.
        Source: definition
        Test: test_schedule.py::test_at_refuses_times_outside_the_tables
        """
        t = np.asarray(t)
        if t.dtype.kind not in "iu":
            raise TypeError(f"t must be integers; got dtype {t.dtype}")
        if t.size and not (first <= t.min() and t.max() <= self.T):
            bad = t.min() if t.min() < first else t.max()
            raise ValueError(f"t must be in {first}..{self.T}; got {bad}")
        return Row(*(getattr(self, name)[t][..., None] for name in Row._fields))

    def level(self, t: int) -> Level:
        """Return the Level of time t: its signal, noise and label, as plain numbers.

        Source: definition
        Test: test_schedule.py::test_respacing_a_respaced_schedule_keeps_the_first_labels
        """
        self.at(t)
        return Level(float(self.signal[t]), float(self.noise[t]), float(self.label[t]))

    def respace(self, times: Array) -> "Schedule":
        """Return the schedule that visits only some times, by composing what lies between.

        alpha'[i] = alpha[t_{i-1}+1] ... alpha[t_i],  beta' <- alpha beta' + beta
        times: increasing ints in 1..T, as from `leading`, `trailing`, `linspace`
        -> Schedule with T = len(times) and the visited times as labels
        ValueError if times are not increasing or not in 1..T.
        Source: Nichol21 4; SongJ21 4.2
        Test: test_schedule.py::test_respacing_keeps_the_marginals_it_visits
        """
        times = np.asarray(times)
        if times.dtype.kind not in "iu" or times.ndim != 1 or not times.size:
            raise ValueError(f"times must be a list of integers; got {times!r}")
        times = times.astype(int)
        if times[0] < 1 or times[-1] > self.T or (np.diff(times) < 1).any():
            raise ValueError(f"times must increase within 1..{self.T}; got {times}")
        blocks = np.split(np.arange(1, times[-1] + 1), times[:-1])
        alpha = [np.prod(self.alpha[block]) for block in blocks]
        beta = [_noise2(self.alpha[block], self.beta[block])[-1] for block in blocks]
        return _tables(alpha, beta, self.label[times])


def _noise2(alpha, beta):
    """1 - alpha_1 ... alpha_t by noise2 <- alpha noise2 + beta: a sum of positives."""
    noise2 = [0.0]
    for a, b in zip(alpha, beta, strict=True):
        noise2.append(a * noise2[-1] + b)
    return np.array(noise2)


def _tables(alpha, beta, label=None):
    """Build all tables from alpha and beta at t = 1..T."""
    label = np.arange(1, len(alpha) + 1) if label is None else label
    noise2, alpha_bar = _noise2(alpha, beta), np.cumprod([1.0, *alpha])
    columns = {
        "alpha": np.array([1.0, *alpha]),
        "beta": np.array([0.0, *beta]),
        "alpha_bar": alpha_bar,
        "signal": np.sqrt(alpha_bar),
        "noise": np.sqrt(noise2),
        "noise2": noise2,
        "label": np.array([0.0, *label]),
    }
    for column in columns.values():
        column.flags.writeable = False
    return Schedule(**columns)


def _table(name, values):
    """Check a user's table of T entries, each strictly between 0 and 1."""
    (values,) = finite(**{name: values})
    values = values.astype(float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be (T,) with T >= 1; got shape {values.shape}")
    bad = np.flatnonzero((values <= 0) | (values >= 1))
    if bad.size:
        t = bad[0]
        raise ValueError(
            f"{name} must be in (0, 1); {name}[{t + 1}] = {values[t]} (t = {t + 1})"
        )
    return values


def from_beta(beta: Array) -> Schedule:
    """Schedule with the given variances beta[1..T] of the steps.

    alpha[t] = 1 - beta[t]
    beta (T,) in (0, 1), entry 0 belonging to t = 1  ->  Schedule
    ValueError that names the first entry outside (0, 1).
    Source: Ho20 (2)
    Test: test_schedule.py::test_the_three_ways_to_give_a_table_agree
    """
    beta = _table("beta", beta)
    return _tables(1 - beta, beta)


def from_alpha(alpha: Array) -> Schedule:
    """Schedule with the given retentions alpha[1..T] of the steps.

    beta[t] = 1 - alpha[t]
    alpha (T,) in (0, 1), entry 0 belonging to t = 1  ->  Schedule
    ValueError that names the first entry outside (0, 1).
    Source: Chan v3 Def 2.1, (2.1)
    Test: test_schedule.py::test_the_three_ways_to_give_a_table_agree
    """
    alpha = _table("alpha", alpha)
    return _tables(alpha, 1 - alpha)


def from_alpha_bar(alpha_bar: Array) -> Schedule:
    """Schedule with the given cumulative products alpha_bar[1..T].

    alpha[t] = alpha_bar[t] / alpha_bar[t-1];  beta[t] = (difference) / alpha_bar[t-1]
    alpha_bar (T,) decreasing in (0, 1), entry 0 belonging to t = 1  ->  Schedule
    ValueError that names the first entry outside (0, 1) or not below the one before.
    Source: Chan v3 (2.8)
    Test: test_schedule.py::test_the_three_ways_to_give_a_table_agree
    """
    now = _table("alpha_bar", alpha_bar)
    before = np.array([1.0, *now[:-1]])
    bad = np.flatnonzero(now >= before)
    if bad.size:
        t = bad[0]
        raise ValueError(
            f"alpha_bar must decrease; alpha_bar[{t + 1}] = {now[t]} >= "
            f"alpha_bar[{t}] = {before[t]}"
        )
    return _tables(now / before, (before - now) / before)


def constant(T: int, alpha: float) -> Schedule:
    """Schedule with the same alpha at every step.

    alpha_bar[t] = alpha^t
    Source: Chan v3 Ex 2.1 (alpha = 0.97)
    Test: test_schedule.py::test_constant_schedule_is_a_power
    """
    return from_alpha(np.full(_length(T), float(alpha)))


def linear(T: int, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """Schedule whose variances rise linearly from beta_1 at t = 1 to beta_T at t = T.

    beta[t] = beta_1 + (t-1)/(T-1) (beta_T - beta_1);  the defaults are meant for T = 1000:
    for fewer steps respace it, as linear(1000).respace(trailing(1000, 20))
    Source: Ho20 4
    Test: test_schedule.py::test_linear_schedule_is_an_arithmetic_progression
    """
    return from_beta(np.linspace(beta_1, beta_T, _length(T)))


def cosine(T: int, s: float = 0.008, beta_max: float = 0.999) -> Schedule:
    """Schedule whose alpha_bar follows a squared cosine, with beta capped at the end.

    alpha_bar[t] = f(t) / f(0),  f(t) = cos^2((t/T + s)/(1 + s) pi/2) = sin^2(w_t),
    w_t = (1 - t/T)/(1 + s) pi/2, the angle that is left, which is exact near t = T
    beta[t] = min(1 - f(t)/f(t-1), beta_max), the difference factored into
    sin(w_{t-1} + w_t) sin(w_{t-1} - w_t) / sin^2(w_{t-1}), which is exact near t = 0
    ValueError if T < 1, s < 0 or beta_max is outside (0, 1).
    Source: Nichol21 (17)
    Test: test_schedule.py::test_cosine_schedule_agrees_with_50_digits
    """
    if not (np.isfinite(s) and s >= 0 and 0 < beta_max < 1):
        raise ValueError(f"s must be >= 0 and beta_max in (0, 1); got {s}, {beta_max}")
    unit, t = np.pi / 2 / (1 + s) / _length(T), np.arange(1, T + 1)
    now, before = (T - t) * unit, (T - t + 1) * unit
    total = np.minimum(
        before + now, (2 * t - 1 + 2 * s * T) * unit
    )  # they add up to pi
    alpha = (np.sin(now) / np.sin(before)) ** 2
    beta = np.sin(total) * np.sin(unit) / np.sin(before) ** 2
    capped = beta > beta_max
    return _tables(
        np.where(capped, 1 - beta_max, alpha), np.where(capped, beta_max, beta)
    )


def leading(T: int, N: int) -> Array:
    """N times from 1 upwards in steps of T // N, which do not reach T unless N = T.

    t_i = 1 + (i-1) (T // N)
    -> (N,) increasing ints
    Source: Lin24 Table 2
    Test: test_schedule.py::test_spacings_reproduce_published_lists
    """
    return 1 + np.arange(_steps(T, N)) * (T // N)


def trailing(T: int, N: int) -> Array:
    """N times from T downwards in steps of T / N, which reach 1 only for T / N < 1.5.

    t_i = round(T i / N), halves to the even number
    -> (N,) increasing ints
    Source: Lin24 Table 2
    Test: test_schedule.py::test_spacings_reproduce_published_lists
    """
    return np.round(T * np.arange(1, _steps(T, N) + 1) / N).astype(int)


def linspace(T: int, N: int) -> Array:
    """N times from 1 to T, evenly spaced and rounded; N = 1 gives t = 1.

    t_i = 1 + round((i-1) (T-1) / (N-1)), halves to the even number
    -> (N,) increasing ints
    Source: Lin24 Table 2
    Test: test_schedule.py::test_spacings_reproduce_published_lists
    """
    return 1 + np.round(np.linspace(0, T - 1, _steps(T, N))).astype(int)


def _length(T):
    if not isinstance(T, int | np.integer) or T < 1:
        raise ValueError(f"T must be an integer >= 1; got {T!r}")
    return int(T)


def _steps(T, N):
    if not isinstance(N, int | np.integer) or not 1 <= N <= _length(T):
        raise ValueError(f"N must be an integer in 1..{T}; got {N!r}")
    return int(N)
