"""Toy data, every one a mixture, so that its density and score are known exactly.

The 2-D toys are centred, with mean variance 1 over the two coordinates ("standard
units"). A curve is at most 64 narrow Gaussians along it. The tutorial's own mixtures
are one-dimensional and keep the tutorial's units.
"""

import numpy as np

from refdiff._check import positive
from refdiff.mixture import Mixture


def scaled(mixture: Mixture) -> tuple[Mixture, np.ndarray, float]:
    """Return the mixture of (x - shift) / scale in standard units, with shift and scale.

    shift = E x,  scale^2 = tr Cov x / d
    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    shift, scale = mixture.mean, np.sqrt(np.trace(mixture.cov) / mixture.d)
    standard = Mixture(
        mixture.weights, (mixture.means - shift) / scale, mixture.covs / scale**2
    )
    return standard, shift, float(scale)


def blobs(weights: np.ndarray, means: np.ndarray, std: np.ndarray) -> Mixture:
    """Return a mixture of round Gaussians with the given standard deviations.

    weights (K,), means (K, d), std a number or (K,)  ->  Mixture
    ValueError if a std is not above 0.
    Source: Chan v3 (1.1)
    Test: test_toys.py::test_tutorial_mixtures_have_their_numbers
    """
    means = np.asarray(means, float)
    if means.ndim != 2 or np.shape(std) not in ((), (len(means),)):
        raise ValueError(
            f"means must be (K, d) and std a number or (K,); got shapes {means.shape} "
            f"and {np.shape(std)}"
        )
    std = np.broadcast_to(np.asarray(std, float), len(means))
    positive(std=std.min())
    covs = std[:, None, None] ** 2 * np.eye(means.shape[1])
    return Mixture(np.asarray(weights, float), means, covs)


def _equal_blobs(means, std):
    return scaled(blobs(np.full(len(means), 1 / len(means)), means, std))[0]


def _along(curves, width):
    """Narrow Gaussians along polygons: half a piece long in std, `width` across.

    curves: list of (m+1, 2) vertices; weights are proportional to length.
    """
    start = np.concatenate([c[:-1] for c in curves])
    piece = np.concatenate([np.diff(c, axis=0) for c in curves])
    length = np.linalg.norm(piece, axis=1)
    along = np.einsum("ki,kj->kij", piece, piece) / 4
    tangent = piece / length[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    across = width**2 * np.einsum("ki,kj->kij", normal, normal)
    weights = length / length.sum()
    return scaled(Mixture(weights, start + piece / 2, along + across))[0]


def _polar(radius, angle):
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def moons() -> Mixture:
    """Two interleaved half circles of 24 Gaussians each, 0.08 radii thick.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    upper = _polar(1.0, np.linspace(0, np.pi, 25))
    return _along([upper, np.array([1.0, 0.5]) - upper], 0.08)


def rings() -> Mixture:
    """Two concentric circles with radii 1 and 2, 0.08 thick; mass as their length.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    angle = np.linspace(0, 2 * np.pi, 33)
    return _along([_polar(1.0, angle[::2]), _polar(2.0, angle)], 0.08)


def spiral() -> Mixture:
    """Two arms of an Archimedean spiral, from 1/3 of a turn to 3/2, 32 Gaussians each.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    turn = np.sqrt(np.linspace(0.05, 1, 33)) * 3 * np.pi
    arm = _polar(turn / 3, turn)
    return _along([arm, -arm], 0.1)


def swiss_roll() -> Mixture:
    """One spiral arm from 3/4 of a turn to 9/4, seen from the roll's end; 64 Gaussians.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    turn = np.sqrt(np.linspace(1, 9, 65)) * 1.5 * np.pi
    return _along([_polar(turn, turn)], 0.4)


def pinwheel() -> Mixture:
    """Five curved blades: six Gaussians each, widening and turning with the radius.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    blade, radius = np.meshgrid(np.arange(5), np.linspace(0.5, 2.5, 6), indexing="ij")
    radius, angle = radius.ravel(), (blade * 2 * np.pi / 5 + 0.4 * radius).ravel()
    out = _polar(1.0, angle + np.arctan(0.4 * radius))  # the blade's own direction
    side = np.stack([-out[:, 1], out[:, 0]], axis=1)
    covs = 0.25**2 * np.einsum("ki,kj->kij", out, out)
    covs += (0.08 * radius)[:, None, None] ** 2 * np.einsum("ki,kj->kij", side, side)
    return scaled(Mixture(np.full(30, 1 / 30), _polar(radius, angle), covs))[0]


def checkerboard() -> Mixture:
    """Eight squares of a 4 x 4 board; a square is 4 x 4 Gaussians, half a cell in std.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    offset = (np.arange(4) + 0.5) / 4
    corners = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    means = [(i + a, j + b) for i, j in corners for a in offset for b in offset]
    return _equal_blobs(means, 0.125)


def eight_gaussians() -> Mixture:
    """Eight round Gaussians on a circle of radius 2, each 0.2 wide.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    return _equal_blobs(_polar(2.0, np.arange(8) * np.pi / 4), 0.2)


def grid_of_gaussians() -> Mixture:
    """Return 5 x 5 round Gaussians, one unit apart and 0.1 wide.

    Source: definition
    Test: test_toys.py::test_toys_are_in_standard_units
    """
    side = np.arange(5.0)
    return _equal_blobs(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), 0.1)


def example_2_1() -> Mixture:
    """0.3 N(-2, 0.2^2) + 0.7 N(2, 1): mean 0.8, variance 4.072.

    Source: Chan v3 Ex 2.1
    Test: test_toys.py::test_tutorial_mixtures_have_their_numbers
    """
    return blobs([0.3, 0.7], [[-2.0], [2.0]], [0.2, 1.0])


def example_3_2() -> Mixture:
    """0.6 N(2, 0.5^2) + 0.4 N(-2, 0.2^2): mean 0.4, variance 4.006.

    Source: Chan v3 Ex 3.2
    Test: test_toys.py::test_tutorial_mixtures_have_their_numbers
    """
    return blobs([0.6, 0.4], [[2.0], [-2.0]], [0.5, 0.2])


def example_4_6() -> Mixture:
    """0.5 N(-3, 1) + 0.5 N(3, 1): mean 0, variance 10.

    Source: Chan v3 Ex 4.6
    Test: test_toys.py::test_tutorial_mixtures_have_their_numbers
    """
    return blobs([0.5, 0.5], [[-3.0], [3.0]], 1.0)


TOYS = {
    "moons": moons,
    "rings": rings,
    "checkerboard": checkerboard,
    "spiral": spiral,
    "pinwheel": pinwheel,
    "swiss-roll": swiss_roll,
    "eight-gaussians": eight_gaussians,
    "grid": grid_of_gaussians,
    "ex-2.1": example_2_1,
    "ex-3.2": example_3_2,
    "ex-4.6": example_4_6,
}
