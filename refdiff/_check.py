"""The public door: every argument is checked here once, and nowhere else."""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent  # a checkout, or site-packages
Array = np.ndarray
Scale = float | np.ndarray  # a number, or one a row: (..., 1)


def finite(**arrays: object) -> list[np.ndarray]:
    """Return each argument as a float array, or raise ValueError naming the bad one."""
    checked = []
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be real numbers; got dtype {array.dtype}")
        if array.dtype.kind != "f":
            array = array.astype(float)
        if not np.isfinite(array).all():
            bad = array[~np.isfinite(array)].flat[0]
            raise ValueError(f"{name} must be finite; it holds {bad}")
        checked.append(array)
    return checked


def vectors(**arrays: object) -> list[np.ndarray]:
    """Return each argument as `finite` does; their last axis must be one vector's."""
    checked = finite(**arrays)
    lengths = {array.shape[-1] if array.ndim else None for array in checked}
    if len(lengths) > 1 or None in lengths:
        shapes = ", ".join(
            f"{n} {a.shape}" for n, a in zip(arrays, checked, strict=True)
        )
        raise ValueError(
            f"the last axis must be the vector, the same for all: {shapes}"
        )
    return checked


def alike(**arrays: object) -> list[np.ndarray]:
    """Return each argument as `finite` does; all must have one shape."""
    checked = finite(**arrays)
    if len({array.shape for array in checked}) > 1:
        shapes = (f"{n} {a.shape}" for n, a in zip(arrays, checked, strict=True))
        raise ValueError(f"all must have one shape: {', '.join(shapes)}")
    return checked


def above_zero(**arrays: object) -> list[np.ndarray]:
    """Return each argument as `finite` does; every entry must be above zero."""
    checked = finite(**arrays)
    for name, array in zip(arrays, checked, strict=True):
        if not (array > 0).all():
            raise ValueError(f"{name} must be above 0; got {array.min()}")
    return checked


def positive(**numbers: float) -> None:
    """Raise ValueError naming the first number that is not finite and above zero."""
    for name, value in numbers.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and above 0; got {value}")


def whole(least: int = 1, **numbers: int) -> None:
    """Raise TypeError or ValueError naming the first that is no integer of at least `least`."""
    for name, value in numbers.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer; got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")


def generator(rng: object) -> None:
    """Raise TypeError unless rng is a numpy Generator."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator; got {type(rng).__name__}"
        )
