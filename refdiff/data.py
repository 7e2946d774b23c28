"""What a model is to learn: a toy by its name, or a user's own points from a file.

Everything is handed on in standard units (x - shift) / scale, so that one network and
one schedule fit all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refdiff import toys
from refdiff._check import Array, finite
from refdiff.mixture import Mixture, from_points

MOST_POINTS = 500  # of a user's data, for the optimal denoiser


@dataclass(frozen=True, eq=False)
class Data:
    """What the model is to learn, in standard units (x - shift) / scale.

    draw(n, rng) -> (n, d); exact: the mixture whose score is the truth to compare with
    """

    name: str
    draw: Callable[[int, np.random.Generator], Array]
    exact: Mixture
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
    if not np.ptp(points, axis=0).any():
        raise ValueError(f"--data {name}: all {n} points are the same")
    if np.abs(points).max() > 1e100:
        raise ValueError(f"--data {name}: coordinates must be below 1e100 in size")
    shift, scale = points.mean(axis=0), float(np.sqrt(points.var(axis=0).mean()))
    points = (points - shift) / scale
    few = points[np.sort(rng.choice(n, min(n, MOST_POINTS), replace=False))]
    note = (
        f"{name}: {n} points, drawn with replacement; 'exact' is the optimal denoiser"
    )
    note += f" of {len(few)} of them" if n > len(few) else " of all of them"
    return Data(
        name,
        lambda n, rng: points[rng.integers(0, len(points), n)],
        from_points(few),
        shift,
        scale,
        note,
    )


def _read(path):
    """Points (n, d) from a .npy file or a text file with one point a line."""
    if not Path(path).is_file():
        known = ", ".join(toys.TOYS)
        raise ValueError(f"--data {path} is neither a file nor a toy; toys: {known}")
    if Path(path).suffix == ".npy":
        try:
            (points,) = finite(points=np.load(path, allow_pickle=False))
        except (ValueError, TypeError, EOFError) as error:
            raise ValueError(f"--data {path}: not an array of numbers") from error
        points = points[:, None] if points.ndim == 1 else points
    else:
        points = _read_text(path)
    if points.ndim != 2 or points.shape[1] not in (1, 2) or len(points) < 2:
        raise ValueError(
            f"--data {path}: points must be (n, 2) or (n, 1) with n >= 2; "
            f"got shape {points.shape}"
        )
    return points.astype(float)


def _read_text(path):
    """One point a line, cells apart by commas, semicolons or blanks; # and a header are
    passed over.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--data {path}: not a text file in UTF-8") from error
    points = []
    for k, line in enumerate(lines, 1):
        cells = line.replace(",", " ").replace(";", " ").replace('"', " ").split()
        if not cells or cells[0].startswith("#"):
            continue
        try:
            point = [float(cell) for cell in cells]
        except ValueError:
            if not points:
                continue  # a header
            raise ValueError(f"--data {path}, line {k}: not numbers: {line}") from None
        if not np.isfinite(point).all():
            raise ValueError(f"--data {path}, line {k}: must be finite: {line}")
        if points and len(point) != len(points[0]):
            expected = len(points[0])
            raise ValueError(f"--data {path}, line {k}: not {expected} numbers: {line}")
        points.append(point)
    return np.array(points)
