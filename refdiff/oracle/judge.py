"""One answer against one vector: how many tolerances off, and whose number it is.

Every class of answer is reduced to an excess for each entry: the error over what is
allowed. An answer agrees where no excess is above 1.
"""

import math

import numpy as np

HEADROOM = 8  # how many noisy evaluations' worth of error is allowed
LOOSE = 4 * HEADROOM  # a wrong answer nearer than this is not told apart
MOST = 0.5  # of its size, that an entry may ever be off
SLACK = 0.2  # how much an observed order may fall short
FLOOR = 1000  # an error below this many unit roundoffs shows no order
RUN = 16  # unit roundoffs that a whole run may add to its bound
DEVIATIONS = 6.2  # 6e-10 for one statistic, so 1e-6 for a run of up to 1700


def _reals(values):
    return np.vectorize(float, otypes=[float])(values)


def asked_shape(output: dict) -> tuple:
    """The shape that an answer must have."""
    shape = np.shape(output["value"])
    if output["class"] == "truncation":
        return (len(output["steps"]), *shape)
    if output["class"] == "statistical":
        return (output["n"], len(output["means"][0]))
    return shape


def tolerance(output: dict, unit: float, headroom: float = HEADROOM) -> np.ndarray:
    """Allowed error of each entry: headroom kappa unit times its size, or the largest's."""
    share = headroom * np.asarray(output["kappa"]) * unit
    return np.minimum(share, MOST * headroom / HEADROOM) * size(output)


def size(output: dict) -> np.ndarray:
    """What an error of each entry is relative to: itself, or the largest entry."""
    own = np.abs(_reals(output["value"]))
    if output["scale"] == "array":
        own = np.full_like(own, own.max(initial=0.0))
    return own


def fits(output: dict, dtype: str, unit: float) -> bool:
    """Whether a precision can show an answer: its range, and what a bound asks for."""
    if output["class"] == "exact" or dtype == "float64":
        return True
    if (
        output["class"] == "truncation"
        and _rounding(output, unit) > 2 * output["bound"]
    ):
        return False
    if output["class"] == "rounding":
        share = HEADROOM * np.asarray(output["kappa"]) * unit
        if (share >= MOST).all():  # nothing but noise is left
            return False
    limits = np.finfo(np.float16 if dtype == "float16" else np.float32)
    own = np.abs(_reals(output["value"]))
    small = output.get("scale") == "entry" and (own[own > 0] < limits.tiny).any()
    return bool(not (small or (own > limits.max).any()))


def within(
    outputs: dict, answer: dict, unit: float, headroom: float = HEADROOM
) -> bool:
    """Whether an answer agrees with every output of a vector."""
    return all(
        name in answer and _agrees(outputs[name], answer[name], unit, headroom)
        for name in outputs
    )


def _agrees(output, got, unit, headroom):
    """Whether one output agrees; a shape of another kind or a nan never does."""
    got = np.asarray(got)
    laws = output["class"] == "statistical" and got.shape == np.shape(output["value"])
    if got.shape != asked_shape(output) and not laws:
        return False
    return bool((excess(output, got, unit, headroom) <= 1).all())


def excess(
    output: dict, got: np.ndarray, unit: float, headroom: float = HEADROOM
) -> np.ndarray:
    """How many times its tolerance each entry of an answer is off; inf for a nan."""
    if output["class"] == "exact":
        return np.where(got == np.asarray(output["value"]), 0.0, math.inf)
    got = got.astype(float)
    if output["class"] == "truncation":
        return _shortfall(output, got, unit)
    if output["class"] == "statistical":
        return np.abs(_deviations(output, got)) / DEVIATIONS
    error = np.abs(got - _reals(output["value"]))
    return _over(error, tolerance(output, unit, headroom))


def _over(error, allowed):
    """Ratio, 0 where nothing is off, inf where it is nan or nothing is allowed."""
    with np.errstate(all="ignore"):
        ratio = np.where(error == 0, 0.0, error / allowed)
    return np.where(np.isnan(ratio), math.inf, ratio)


def _shortfall(output, got, unit):
    """The last error over its bound; inf where the order is too low."""
    errors = end_errors(output, got)
    if not observed_order(output, got, unit) >= output["order"] - SLACK:
        return np.full(1, math.inf)
    return _over(errors[-1:], output["bound"] + _rounding(output, unit))


def _rounding(output, unit):
    """What rounding may do to the end points of a run."""
    return RUN * unit * np.abs(_reals(output["value"])).max()


def end_errors(output: dict, got: np.ndarray) -> np.ndarray:
    """Largest error of the end points, for each number of steps."""
    error = np.abs(got.astype(float) - _reals(output["value"]))
    return error.reshape(len(got), -1).max(axis=1)


def observed_order(output: dict, got: np.ndarray, unit: float) -> float:
    """Slope of log error on log steps, first to last; inf once errors are rounding's."""
    errors = end_errors(output, got)
    floor = FLOOR * unit * np.abs(_reals(output["value"])).max()
    seen = [(n, e) for n, e in zip(output["steps"], errors, strict=True) if e > floor]
    if not np.isfinite(errors).all():
        return math.nan
    if len(seen) < 2:
        return math.inf if errors[-1] <= floor else math.nan
    (n0, e0), (n1, e1) = seen[0], seen[-1]
    return math.log(e0 / e1) / math.log(n1 / n0)


def _deviations(output, got):
    """Each statistic's distance from what is expected, in standard errors."""
    mean, deviation = _reals(output["value"])
    if got.shape == np.shape(output["value"]):
        found = got[0]  # statistics already: a wrong form's
    else:
        found = statistics(got, np.asarray(output["means"]), mean)
    return (found - mean) / (deviation / math.sqrt(output["n"]))


def statistics(x: np.ndarray, means: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Mean, covariance about the expected mean, share of each component (nearest mean)."""
    d = x.shape[1]
    away = x - expected[:d]
    nearest = np.argmin(((x[:, None] - means) ** 2).sum(axis=-1), axis=1)
    shares = np.bincount(nearest, minlength=len(means)) / len(x)
    return np.concatenate([x.mean(axis=0), (away.T @ away).ravel() / len(x), shares])


def digits(output: dict, got: np.ndarray, unit: float) -> float | None:
    """Decimal digits that agree, up to the unit's; None where rounding is not judged."""
    if output["class"] != "rounding":
        return None
    error = np.abs(got.astype(float) - _reals(output["value"]))
    off = _over(error, size(output)).max(initial=unit)
    return -math.log10(max(off, unit))


def same(output: dict, got: np.ndarray, wrong: list, unit: float) -> bool:
    """Whether an answer is a wrong form's, up to LOOSE and to the larger of the sizes."""
    wrong, other = _reals(wrong), got.astype(float)
    if output["class"] == "statistical":
        return _same_statistics(output, other, wrong)
    if other.shape != wrong.shape:
        return False
    # A nan of a wrong form's is its number too.
    both = (np.isnan(other) & np.isnan(wrong)) | (other == wrong)
    if output["class"] == "exact":
        return bool(
            (both | (np.abs(other - wrong) <= LOOSE * unit * np.abs(wrong))).all()
        )
    return bool((both | _near(output, other, wrong, unit)).all())


def _near(output, got, wrong, unit):
    """Whether each entry is a wrong form's; one of another shape goes by the largest."""
    own = np.where(np.isfinite(wrong), np.abs(wrong), 0.0)
    if output["class"] == "truncation":
        near = FLOOR * unit * max(own.max(), 1.0)
        if not output["order"]:  # whatever solver it has, it comes near its limit
            near = max(near, output["bound"])
        return np.abs(got - wrong) <= near
    kappa, right = np.maximum(np.asarray(output["kappa"]), 1.0), size(output)
    if output["scale"] == "array" or wrong.shape != right.shape:
        own = np.full_like(own, own.max(initial=0.0))
        kappa, right = kappa.max(), right.max(initial=0.0)
    # A wrong form may be worse conditioned than the truth, whose kappa this is.
    share = np.maximum(LOOSE * unit * kappa, unit ** (2 / 3))
    with np.errstate(invalid="ignore"):
        return np.abs(got - wrong) <= share * np.maximum(own, right)


def _same_statistics(output, got, wrong):
    return _agrees({**output, "value": wrong.tolist()}, got, 0.0, HEADROOM)
