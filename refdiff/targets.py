"""What a network may be asked to predict: eps, x0, v or the score, one linear map apart.

All four describe one denoiser of x_t = signal x0 + noise eps, where

    v = signal eps - noise x0,    score = -eps / noise.

(x0, eps) -> (x_t, v) is a rotation times r = sqrt(signal^2 + noise^2), which is 1 for
variance-preserving schedules; the formulas hold for any r. A map that divides by
signal needs signal > 0, one that divides by noise needs noise > 0; those from v to x0
and from v to eps need neither.

Arguments broadcast: xt and the prediction (..., d), signal and noise numbers or
(..., 1). The result is (..., d).
"""

from collections.abc import Callable
from typing import NamedTuple

from refdiff._check import Array, Scale
from refdiff.schedule import Level, Schedule


def x0_from_eps(xt: Array, eps: Array, signal: Scale, noise: Scale) -> Array:
    """Return x0 = (xt - noise eps) / signal.

    Source: Ho20 (15); Chan v3 (2.11) solved for x0
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (xt - noise * eps) / signal


def x0_from_v(xt: Array, v: Array, signal: Scale, noise: Scale) -> Array:
    """Return x0 = (signal xt - noise v) / (signal^2 + noise^2).

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (signal * xt - noise * v) / (signal**2 + noise**2)


def x0_from_score(xt: Array, score: Array, signal: Scale, noise: Scale) -> Array:
    """Return x0 = (xt + noise^2 score) / signal, Tweedie's formula.

    Source: Efron11 (1.4)
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (xt + noise**2 * score) / signal


def eps_from_x0(xt: Array, x0: Array, signal: Scale, noise: Scale) -> Array:
    """Return eps = (xt - signal x0) / noise.

    Source: Chan v3 (2.11) solved for eps
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (xt - signal * x0) / noise


def eps_from_v(xt: Array, v: Array, signal: Scale, noise: Scale) -> Array:
    """Return eps = (noise xt + signal v) / (signal^2 + noise^2).

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (noise * xt + signal * v) / (signal**2 + noise**2)


def eps_from_score(xt: Array, score: Array, signal: Scale, noise: Scale) -> Array:
    """Return eps = -noise score.

    Source: Song21 (7) with the Gaussian kernel's score
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return -noise * score


def v_from_x0(xt: Array, x0: Array, signal: Scale, noise: Scale) -> Array:
    """Return v = (signal xt - (signal^2 + noise^2) x0) / noise.

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (signal * xt - (signal**2 + noise**2) * x0) / noise


def v_from_eps(xt: Array, eps: Array, signal: Scale, noise: Scale) -> Array:
    """Return v = ((signal^2 + noise^2) eps - noise xt) / signal.

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return ((signal**2 + noise**2) * eps - noise * xt) / signal


def v_from_score(xt: Array, score: Array, signal: Scale, noise: Scale) -> Array:
    """Return v = -noise ((signal^2 + noise^2) score + xt) / signal.

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return -noise * ((signal**2 + noise**2) * score + xt) / signal


def score_from_x0(xt: Array, x0: Array, signal: Scale, noise: Scale) -> Array:
    """Return score = (signal x0 - xt) / noise^2.

    Source: Efron11 (1.4)
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return (signal * x0 - xt) / noise**2


def score_from_eps(xt: Array, eps: Array, signal: Scale, noise: Scale) -> Array:
    """Return score = -eps / noise.

    Source: Song21 (7) with the Gaussian kernel's score
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return -eps / noise


def score_from_v(xt: Array, v: Array, signal: Scale, noise: Scale) -> Array:
    """Return score = -(noise xt + signal v) / (noise (signal^2 + noise^2)).

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return -(noise * xt + signal * v) / (noise * (signal**2 + noise**2))


def v_target(x0: Array, eps: Array, signal: Scale, noise: Scale) -> Array:
    """Return v = signal eps - noise x0: what a v-network is trained on.

    Source: Salimans22 D
    Test: test_targets.py::test_every_conversion_recovers_what_made_xt
    """
    return signal * eps - noise * x0


Model = Callable[[Array, Level], Array]
Network = Callable[[Array, float], Array]


class Target(NamedTuple):
    """One quantity y that a network may predict, at the times t of a schedule.

    of(x0, eps, t, sched): y itself; from_x0(xt, x0, t, sched) and
    from_score(xt, score, t, sched): the y of the same denoiser; to_x0(xt, y, t, sched)
    """

    name: str
    of: Callable
    from_x0: Callable
    from_score: Callable
    to_x0: Callable


def _at(conversion):
    """A conversion that takes the times of a schedule for signal and noise."""

    def at(xt, y, t, sched):
        now = sched.at(t)
        return conversion(xt, y, now.signal, now.noise)

    return at


def _itself(xt, y, t, sched):
    return y


EPS = Target(
    "eps",
    lambda x0, eps, t, sched: eps,
    _at(eps_from_x0),
    _at(eps_from_score),
    _at(x0_from_eps),
)
X0 = Target("x0", lambda x0, eps, t, sched: x0, _itself, _at(x0_from_score), _itself)
V = Target("v", _at(v_target), _at(v_from_x0), _at(v_from_score), _at(x0_from_v))
SCORE = Target(
    "score",
    lambda x0, eps, t, sched: -eps / sched.at(t).noise,
    _at(score_from_x0),
    _itself,
    _at(x0_from_score),
)


def ask(model: Model, x: Array, t: int, sched: Schedule, target: Target) -> Array:
    """What a model says of x at time t, as the target's prediction.

    model(x, level): the score, or x0_hat where signal = 0, as in `Chain.run`; x0_hat from
    a score loses about 1e-16 / signal.
    x (n, d)  ->  (n, d)
    Source: Lin24 3.2 for signal = 0
    Test: test_targets.py::test_a_model_is_asked_for_any_target
    """
    level = sched.level(t)
    convert = target.from_x0 if level.signal == 0 else target.from_score
    return convert(x, model(x, level), t, sched)


def target_model(y_hat: Network, target: Target, sched: Schedule) -> Model:
    """Model for `Chain.run` from a network y_hat(x, t) of any target.

    sched: the schedule that it was trained on, of which level.t is a time
    -> model(x, level): the score, and x0_hat at signal = 0, where eps and score refuse
    Source: Efron11 (1.4)
    Test: test_targets.py::test_a_network_of_any_target_is_one_model
    """

    def model(x, level):
        if target is EPS or target is SCORE:
            _needs_signal(level)
        x0 = target.to_x0(x, y_hat(x, level.t), int(level.t), sched)
        return x0 if level.signal == 0 else score_from_x0(x, x0, *level[:2])

    return model


def _needs_signal(level):
    """Refuse a level at which eps and the score leave x0 unknown."""
    if level.signal == 0:
        raise ValueError(f"the model says nothing of x0 at signal = 0 (t={level.t})")


def eps_model(eps_hat: Network) -> Model:
    """Model for `Chain.run` from a network eps_hat(x, t).

    -> model(x, level), the score; ValueError at signal = 0, where eps leaves x0 unknown
    Source: Lin24 3.2 for the refusal
    Test: test_targets.py::test_models_at_zero_signal_return_x0_or_refuse
    """

    def model(x, level):
        _needs_signal(level)
        return score_from_eps(x, eps_hat(x, level.t), level.signal, level.noise)

    return model


def x0_model(x0_hat: Network) -> Model:
    """Model for `Chain.run` from a network x0_hat(x, t).

    -> model(x, level): the score, and x0_hat itself at signal = 0
    Source: Lin24 3.2
    Test: test_targets.py::test_models_at_zero_signal_return_x0_or_refuse
    """

    def model(x, level):
        x0 = x0_hat(x, level.t)
        return x0 if level.signal == 0 else score_from_x0(x, x0, *level[:2])

    return model


def v_model(v_hat: Network) -> Model:
    """Model for `Chain.run` from a network v_hat(x, t).

    -> model(x, level): the score, and x0_hat = -v_hat / noise at signal = 0
    Source: Salimans22 D; Lin24 3.2
    Test: test_targets.py::test_models_at_zero_signal_return_x0_or_refuse
    """

    def model(x, level):
        v = v_hat(x, level.t)
        to = x0_from_v if level.signal == 0 else score_from_v
        return to(x, v, level.signal, level.noise)

    return model


def score_model(score_hat: Network) -> Model:
    """Model for `Chain.run` from a network score_hat(x, t).

    -> model(x, level), the score; ValueError at signal = 0, where it leaves x0 unknown
    Source: Lin24 3.2 for the refusal
    Test: test_targets.py::test_models_at_zero_signal_return_x0_or_refuse
    """

    def model(x, level):
        _needs_signal(level)
        return score_hat(x, level.t)

    return model
