"""Fokker-Planck on a grid against closed forms, particles and 50 digits."""

import re
from itertools import islice, pairwise, product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from scipy.sparse.linalg import expm_multiply
from support import ALPHA, assert_accurate, ks_passes, mixture_cdf

from refdiff import (
    brownian,
    fokker_planck,
    gaussian,
    heat,
    langevin,
    master,
    ode,
    reversal,
    sde,
    solvers,
    toys,
)
from refdiff.fokker_planck import (
    Grid,
    bernoulli,
    current,
    evolve,
    operator,
    potential_operator,
    process_operator,
    relative_entropy,
)
from refdiff.samplers import measured_order
from refdiff.solvers import Process

VP = sde.vp(sde.linear_beta())
FORWARD = Process(VP.f, lambda x, t: VP.g(t))
MIXTURE = toys.example_4_6()

GRIDS = {
    "1-D": Grid((30,), (-3.0,), (4.0,)),
    "circle": Grid((30,), (0.0,), (2 * np.pi,), ring=True),
    "2-D": Grid((9, 11), (-2.0, -3.0), (2.0, 2.5)),
    "torus": Grid((7, 8), (0.0, -1.0), (2.0, 1.0), ring=True),
}
grids = pytest.mark.parametrize("name", GRIDS)


def rough(grid, seed, size=10.0):
    """A drift without any smoothness, and a diffusion that jumps."""
    rng = np.random.default_rng(seed)

    def drift(x, axis):
        return size * rng.standard_normal(len(x))

    return operator(grid, drift, lambda x: rng.uniform(0.2, 2.0, len(x)))


def ring(x):
    """Potential of a ring of radius 1 in the plane."""
    return -8 * (np.hypot(x[:, 0], x[:, 1]) - 1) ** 2


def double_well(x):
    return -3 * (x[:, 0] ** 2 - 1) ** 2 - 2 * x[:, 1] ** 2 + x[:, 0] * x[:, 1] / 2


def wavy(x):
    """A diffusion that varies in every direction."""
    return 0.2 + np.sin(3 * x).sum(axis=1) ** 2


def line(n, low=-5.0, high=5.0):
    return Grid((n,), (low,), (high,))


def delta(grid, at=None):
    p = np.zeros(grid.cells)
    p[tuple(n // 2 for n in grid.cells) if at is None else at] = 1.0
    return p


def resting(W):
    """What a 1-D W keeps, by detailed balance from cell to cell, not by solving."""
    up, down = W.diagonal(-1), W.diagonal(1)
    log_p = np.append(0.0, np.cumsum(np.log(up) - np.log(down)))
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


def orders(errors):
    return measured_order(np.array(errors))


# the grid


@pytest.mark.oracle
@grids
def test_a_grid_has_its_centres_and_faces(name):
    """By hand in one dimension; elsewhere a face lies halfway between its two cells."""
    grid = GRIDS[name]
    box = np.array(grid.high) - np.array(grid.low)
    np.testing.assert_allclose(grid.dx * grid.cells, box)
    centres = grid.centres.reshape(-1, len(grid.cells))
    assert grid.centres.shape == (*grid.cells, len(grid.cells))
    middle = np.array(grid.low) + box / 2
    np.testing.assert_allclose(centres.mean(axis=0), middle, atol=1e-14)
    number = {tuple(np.round(c, 9)): k for k, c in enumerate(centres)}
    for axis, n in enumerate(grid.cells):
        faces = grid.faces(axis)
        want = list(grid.cells)
        want[axis] = n if grid.ring else n - 1
        assert faces.shape == (*want, len(grid.cells))
        half = np.eye(len(grid.cells))[axis] * grid.dx / 2
        for face, below, above in zip(
            faces.reshape(-1, len(half)), *grid.pair(axis), strict=True
        ):
            other = face + half
            if grid.ring and other[axis] > grid.high[axis]:
                other[axis] -= box[axis]
            assert number[tuple(np.round(face - half, 9))] == below
            assert number[tuple(np.round(other, 9))] == above


@pytest.mark.oracle
def test_the_smallest_grids_by_hand():
    grid = Grid((4,), (0.0,), (2.0,))
    np.testing.assert_allclose(grid.centres[:, 0], [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(grid.faces(0)[:, 0], [0.5, 1.0, 1.5])
    assert [list(k) for k in grid.pair(0)] == [[0, 1, 2], [1, 2, 3]]
    grid = Grid((4,), (0.0,), (2.0,), ring=True)
    np.testing.assert_allclose(grid.faces(0)[:, 0], [0.5, 1.0, 1.5, 2.0])
    assert [list(k) for k in grid.pair(0)] == [[0, 1, 2, 3], [1, 2, 3, 0]]


@pytest.mark.identity
@given(shift=st.floats(-1e5, 1e5))
def test_probabilities_are_in_proportion_to_the_density(shift):
    grid = GRIDS["2-D"]
    p = grid.probabilities(lambda x: double_well(x) + shift)
    assert p.shape == grid.cells and p.sum() == pytest.approx(1, abs=1e-14)
    log_p = double_well(grid.centres.reshape(-1, 2)).reshape(grid.cells)
    rise = np.log(p) - np.log(p[0, 0])
    np.testing.assert_allclose(rise, log_p - log_p[0, 0], atol=1e-9)
    half = grid.probabilities(lambda x: np.where(x[:, 0] < 0, -np.inf, shift))
    np.testing.assert_allclose(half, (grid.centres[..., 0] >= 0) / 55, atol=1e-15)


# the weights


def exact_bernoulli(inputs):
    return [w / mpmath.expm1(w) for w in inputs]


@pytest.mark.oracle
def test_bernoulli_weights_keep_their_digits():
    """50 digits from w = -1e3 to 1e3, and around 0; and to the edge of underflow."""
    size = np.concatenate([np.geomspace(1e-300, 1, 40), np.linspace(1, 1000, 60)])
    for w in np.concatenate([size, -size, [5e-324, -5e-324, 2e-16, -1e-8]]):
        assert_accurate(
            bernoulli(w), exact_bernoulli, [mpmath.mpf(float(w))], tol=5e-16
        )
    for w in (300.0, 700.0, 710.0, 714.0):  # 710: exp(w) has overflown already
        want = exact_bernoulli([mpmath.mpf(w)])[0]
        assert abs(bernoulli(w) / want - 1) < 1e-12
    np.testing.assert_array_equal(bernoulli(np.array([0.0, -0.0])), 1.0)
    np.testing.assert_array_equal(bernoulli(np.array([-1e5, 1e5])), [1e5, 0.0])


@pytest.mark.identity
@given(w=st.floats(-600, 600))
def test_the_two_weights_of_a_face_differ_by_the_drift(w):
    """B(-w) - B(w) = w, the drift; B(-w) / B(w) = exp(w), the balance."""
    up, down = bernoulli(np.array([-w, w]))
    assert up - down == pytest.approx(w, rel=1e-15, abs=4e-16 * max(up, down))
    assert np.log(up) - np.log(down) == pytest.approx(w, rel=1e-13, abs=1e-15)


# the operator


@pytest.mark.identity
@grids
@settings(max_examples=12)
@given(seed=st.integers(0, 999))
def test_the_operator_conserves_and_keeps_positive(name, seed):
    """Rough drifts: columns sum to 0, rates >= 0; any h keeps sum p = 1 and p > 0."""
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    W = rough(grid, seed)
    assert np.abs(W.sum(axis=0)).max() <= 1e-14 * np.abs(W.diagonal()).max()
    full = W.toarray()
    assert (full[~np.eye(len(full), dtype=bool)] >= 0).all()
    near = np.zeros(full.shape, bool)
    for axis in range(len(grid.cells)):
        below, above = grid.pair(axis)
        near[below, above] = near[above, below] = True
    np.fill_diagonal(near, True)
    assert ((full != 0) == near).all()
    size = np.abs(W.diagonal()).max()
    h = 10.0 ** rng.uniform(-3, 2, 100) / size
    h[rng.random(100) < 0.5] = 1 / size  # equal steps, as well as all others
    h[-1] = 1e8 / size  # where 1 - h W has no digits left of the 1
    times = np.append(0.0, np.cumsum(h))
    first, *later = evolve(delta(grid), W, times if seed % 2 else -times)
    np.testing.assert_array_equal(first, delta(grid))
    for k, p in enumerate(later, 1):
        limit = 1e-12 if k < 100 else 1e-7
        assert abs(p.sum() - 1) < limit and p.shape == grid.cells
        assert p.min() > 0


@pytest.mark.identity
@grids
def test_a_step_is_backward_euler_at_its_end(name):
    """Against a dense solve; times may fall; what is given is not changed."""
    grid, times = GRIDS[name], np.array([0.3, 0.5, 1.1, 1.7])
    A, B = (rough(grid, seed) for seed in (1, 2))
    start = delta(grid)
    for at in (times, times[::-1]):
        p = start.ravel()
        got = list(evolve(start, lambda t: A + t * B, at))
        same = list(evolve(start, A, at))
        q = p
        for k, (t, t_next) in enumerate(pairwise(at), 1):
            h, one = abs(t_next - t), np.eye(p.size)
            p = np.linalg.solve(one - h * (A + t_next * B).toarray(), p)
            q = np.linalg.solve(one - h * A.toarray(), q)
            np.testing.assert_allclose(got[k].ravel(), p, rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(same[k].ravel(), q, rtol=1e-9, atol=1e-14)
    np.testing.assert_array_equal(start, delta(grid))


@pytest.mark.control
def test_other_schemes_lose_positivity():
    """Forward Euler at a large h; central differences, 1 - w/2, where |w| > 2."""
    grid = line(20)
    W = operator(grid, lambda x, axis: -20 * x[:, 0], 1.0)
    p, h = delta(grid), 0.5
    assert (p + h * (W @ p)).min() < 0
    *_, last = evolve(p, W, [0.0, h])
    assert last.min() > 0
    w = 20 * grid.faces(0)[:, 0] * grid.dx[0]
    assert (1 - w / 2).min() < 0 < bernoulli(w).min()


# the current


@pytest.mark.identity
@grids
@settings(max_examples=12)
@given(seed=st.integers(0, 999))
def test_the_current_accounts_for_every_change(name, seed):
    """What crosses a cell's faces is dp/dt there: W p, to rounding."""
    grid, W = GRIDS[name], rough(GRIDS[name], seed)
    p = np.random.default_rng(seed).dirichlet(np.ones(W.shape[0])).reshape(grid.cells)
    change, flow = np.zeros(p.size), np.zeros(p.size)
    for axis, S in enumerate(current(p, W, grid)):
        below, above = grid.pair(axis)
        np.add.at(change, above, S)
        np.add.at(change, below, -S)
        np.add.at(flow, above, np.abs(S))
        np.add.at(flow, below, np.abs(S))
    want = W @ p.ravel()
    np.testing.assert_allclose(change, want, rtol=0, atol=1e-13 * flow.max())
    assert np.abs(change).max() > 0.1 * flow.max()


@pytest.mark.oracle
def test_the_current_is_that_of_its_definition():
    """S = D1 p - d(D2 p)/dx at the faces, of second order; D2 varies."""

    def D2(x):
        return 0.5 + 0.3 * np.sin(x)

    def S(x):
        p, slope = stats.norm.pdf(x, 0.3, 0.8), -(x - 0.3) / 0.64
        return np.cos(2 * x) * p - 0.3 * np.cos(x) * p - D2(x) * slope * p

    errors = []
    for n in (100, 200, 400):
        grid = line(n)
        W = operator(
            grid,
            lambda x, axis: np.cos(2 * x[:, 0]) - 0.3 * np.cos(x[:, 0]),
            lambda x: D2(x[:, 0]),
        )
        p = grid.probabilities(lambda x: stats.norm.logpdf(x[:, 0], 0.3, 0.8))
        (got,) = current(p, W, grid)
        errors.append(np.abs(got - S(grid.faces(0)[:, 0])).max())
    assert errors[-1] < 1e-3
    assert np.abs(orders(errors) - 2).max() < 0.1


@pytest.mark.oracle
def test_on_a_ring_the_current_may_be_a_constant_that_is_not_0():
    """A constant force: S = v / L exactly. With waves: Stratonovich's formula."""
    grid, v = GRIDS["circle"], 1.7
    W = operator(grid, lambda x, axis: np.full(len(x), v), 0.4)
    p = master.stationary(W.toarray())
    np.testing.assert_allclose(p, 1 / 30, rtol=1e-12)
    np.testing.assert_allclose(current(p, W, grid)[0], v / (2 * np.pi), rtol=1e-12)

    def phi(x):  # -integral of D1 / D2, D1 = v + 2 sin x
        return -(v * x - 2 * np.cos(x)) / 0.4

    def inner(x):
        return integrate.quad(lambda y: np.exp(phi(y) - phi(x)), x, x + 2 * np.pi)[0]

    drop = -np.expm1(phi(2 * np.pi) - phi(0))
    want = 0.4 * drop / integrate.quad(inner, 0, 2 * np.pi)[0]
    errors = []
    for n in (50, 100, 200):
        grid = Grid((n,), (0.0,), (2 * np.pi,), ring=True)
        W = operator(grid, lambda x, axis: v + 2 * np.sin(x[:, 0]), 0.4)
        p = master.stationary(W.toarray())
        (S,) = current(p, W, grid)
        np.testing.assert_allclose(S, want, rtol=1e-5)
        np.testing.assert_allclose(S, S[0], rtol=1e-9)
        density = [want / 0.4 * inner(x) / drop for x in grid.centres[:, 0]]
        errors.append(np.abs(p / grid.dx[0] - density).max())
    assert np.abs(orders(errors) - 2).max() < 0.1


@pytest.mark.oracle
def test_a_rotation_has_a_current_that_goes_round():
    """D1 = -x + omega J x keeps N(0, 1) with S = omega J x p, which has no divergence."""
    omega, errors = 1.5, []
    for n in (24, 48):
        grid = Grid((n, n + 10), (-5.0, -4.5), (5.0, 4.5))

        def drift(x, axis):
            turned = omega * np.stack([-x[:, 1], x[:, 0]], axis=1)
            return (turned - x)[:, axis]

        W = operator(grid, drift, 1.0)
        *_, p = evolve(np.full(grid.cells, 1 / (n * (n + 10))), W, [0.0, 1e4, 2e4, 3e4])
        error = 0.0
        for axis, S in enumerate(current(p, W, grid)):
            x = grid.faces(axis).reshape(-1, 2)
            turned = omega * [-x[:, 1], x[:, 0]][axis]
            want = turned * np.exp(-(x**2).sum(axis=1) / 2) / (2 * np.pi)
            error = max(error, np.abs(S / grid.dx[1 - axis] - want).max())
            assert np.abs(want).max() > 0.1
        errors.append(error)
    assert errors[-1] < 5e-3
    assert np.abs(orders(errors) - 2).max() < 0.2


# equilibrium

WELLS = {
    "Ex 3.2": (line(300, -4.0, 5.0), toys.example_3_2().logpdf),
    "Ex 3.2, coarse": (line(20, -4.0, 5.0), toys.example_3_2().logpdf),
    "Ex 5.6": (line(80), lambda x: stats.norm.logpdf(x[:, 0], 0.0, 0.7)),
    "ring": (Grid((40, 40), (-2.0, -2.0), (2.0, 2.0)), ring),
    "double well": (Grid((30, 20), (-2.0, -2.5), (2.0, 2.5)), double_well),
    "circle": (GRIDS["circle"], lambda x: 2 * np.cos(x[:, 0])),
    "torus": (GRIDS["torus"], lambda x: np.cos(np.pi * (x[:, 0] + x[:, 1]))),
}


@pytest.mark.identity
@pytest.mark.parametrize("well", WELLS)
@pytest.mark.parametrize("diffusion", [1.0, 0.03, wavy], ids=["1", "0.03", "wavy"])
def test_the_potentials_operator_has_the_exact_equilibrium(well, diffusion):
    """Thm 5.10: no current through any face, to rounding, however coarse the grid."""
    grid, logpdf = WELLS[well]
    W, p = potential_operator(grid, logpdf, diffusion), grid.probabilities(logpdf)
    flow = np.abs(W) @ p.ravel()
    assert np.abs(W @ p.ravel()).max() <= 1e-14 * flow.max()
    for axis, S in enumerate(current(p, W, grid)):
        below, above = grid.pair(axis)
        up = np.asarray(W.tocsr()[above, below]).ravel() * p.ravel()[below]
        assert (np.abs(S) <= 1e-11 * up + 1e-300).all()
    for rest in evolve(p, W, [0.0, 0.01, 1.0, 50.0]):
        np.testing.assert_allclose(rest, p, rtol=1e-9, atol=1e-14)


@pytest.mark.limit
@pytest.mark.parametrize("well", ["Ex 5.6", "ring", "double well", "circle"])
def test_every_start_ends_in_the_equilibrium(well):
    grid, logpdf = WELLS[well]
    W, p = potential_operator(grid, logpdf, wavy), grid.probabilities(logpdf)
    *_, last = evolve(delta(grid, (3,) * len(grid.cells)), W, 1e3 * np.arange(8))
    np.testing.assert_allclose(last, p, rtol=1e-6, atol=1e-13)


@pytest.mark.control
def test_slopes_instead_of_differences_miss_the_equilibrium():
    """The slope at the faces is right to second order; on Gaussians it is exact."""
    errors = []
    for n in (40, 80, 160):
        grid = line(n, -2.5, 2.5)
        W = operator(grid, lambda x, axis: 12 * x[:, 0] * (1 - x[:, 0] ** 2), 1.0)
        p = grid.probabilities(lambda x: -3 * (x[:, 0] ** 2 - 1) ** 2)
        assert np.abs(W @ p).max() > 1e-7 * (np.abs(W) @ p).max()
        errors.append(np.abs(resting(W) - p).sum())
    assert np.abs(orders(errors) - 2).max() < 0.1
    gamma, kT_m = 1.3, 0.49
    grid, logpdf = WELLS["Ex 5.6"]
    slopes = operator(grid, lambda x, axis: -gamma * x[:, 0], gamma * kT_m)
    both = potential_operator(grid, logpdf, gamma * kT_m)
    np.testing.assert_allclose(slopes.toarray(), both.toarray(), rtol=1e-12)


@pytest.mark.limit
@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_noise_of_another_size_keeps_a_power_of_p(share):
    """Ex 5.7, xi' = tau score + sigma Gamma: p^(tau/sigma^2); sigma^2 = share tau."""
    tau, law = 0.7, toys.example_3_2()
    model = brownian.ito(lambda x, t: tau * law.score(x), lambda x, t: sigma + 0 * x)
    sigma, errors = np.sqrt(share * tau), []
    for n in (400, 800, 1600):
        grid = line(n, -4.0, 5.0)
        p = grid.probabilities(lambda x: law.logpdf(x) / share)
        got = resting(process_operator(grid, model, 0.0))
        errors.append(np.abs(got - p).sum())
        exact = potential_operator(grid, lambda x: law.logpdf(x) / share, sigma**2)
        np.testing.assert_allclose(resting(exact), p, rtol=1e-9, atol=1e-15)
        for other in (share / 2, 2 * share):  # q = 1 for q = 2, and the reverse
            far = grid.probabilities(lambda x, s=other: law.logpdf(x) / s)
            assert np.abs(got - far).sum() > 0.1
    assert errors[-1] < 0.01
    assert np.abs(orders(errors) - 2).max() < 0.1


def varying(x):
    return (1 + x**2) / 2


@pytest.mark.limit
def test_a_diffusion_that_varies_has_its_own_stationary_law():
    """D1 = -3 x, D2 = (1 + x^2)/2: p ~ exp(int (D1 - D2')/D2) = (1 + x^2)^-4.

    Without D2' it would be (1 + x^2)^-3.
    """
    errors = []
    for n in (100, 200, 400):
        grid = line(n, -8.0, 8.0)
        x = grid.centres[:, 0]
        p = grid.probabilities(lambda x: -4 * np.log1p(x[:, 0] ** 2))
        W = operator(grid, lambda x, axis: -4 * x[:, 0], lambda x: varying(x[:, 0]))
        errors.append(np.abs(resting(W) - p).sum())
        other = operator(grid, lambda x, axis: -3 * x[:, 0], lambda x: varying(x[:, 0]))
        third = (1 + x**2) ** -3
        assert np.abs(resting(other) - p).sum() > 0.1
        assert np.abs(resting(other) - third / third.sum()).sum() < 10 * errors[-1]
    assert errors[-1] < 1e-3
    assert np.abs(orders(errors) - 2).max() < 0.1


@pytest.mark.law
def test_particles_with_noise_of_their_place_have_the_grids_law():
    """Ito's drift -3 x by way of Thm 5.9: h = D1 - g g', D1 = h + g g', g^2 = D2."""
    process = brownian.ito(
        lambda x, t: -3.5 * x,
        lambda x, t: np.sqrt(varying(x)),
        lambda x, t: x / 2 / np.sqrt(varying(x)),
    )
    grid, times = line(400, -8.0, 8.0), np.linspace(0, 1, 401)
    W = operator(grid, lambda x, axis: -4 * x[:, 0], lambda x: varying(x[:, 0]))
    start = grid.probabilities(lambda x: stats.norm.logpdf(x[:, 0], 1.0, 0.3))
    rng, n = np.random.default_rng(0), 10_000
    x = 1 + 0.3 * rng.standard_normal((n, 1))
    z = rng.standard_normal((400, n, 1))
    path = solvers.paths(solvers.euler_maruyama_step, process, x, times, z)
    for k, (x, p) in enumerate(zip(path, evolve(start, W, times), strict=True)):
        if k in (0, 50, 400):
            assert has_the_law(x, p, grid)


# orders


@pytest.mark.order
def test_space_is_of_second_order():
    """OU from N(1, 1/4), the matrix's exponential against the closed-form law."""
    process, errors = sde.ou(2.0, 1.2), []
    scale, var = process.transition(0.0, 0.5)
    for n in (50, 100, 200, 400):
        grid = line(n)
        start = grid.probabilities(lambda x: stats.norm.logpdf(x[:, 0], 1, 0.5))
        W = process_operator(grid, Process(process.f, lambda x, t: process.g(t)), 0.1)
        p = expm_multiply(0.5 * W, start) / grid.dx[0]
        std = np.sqrt(scale**2 / 4 + var)
        want = stats.norm.pdf(grid.centres[:, 0], scale, std)
        errors.append(np.abs(p - want).max())
    assert errors[-1] < 1e-4
    assert np.abs(orders(errors) - 2).max() < 0.1


@pytest.mark.order
@pytest.mark.parametrize("changing", [False, True])
def test_time_is_of_first_order(changing):
    """Against the exponential of the same matrix; (1 + t) W has that of (t + t^2/2) W."""
    grid, errors = line(60), []
    W = operator(grid, lambda x, axis: -x[:, 0], 0.72)
    start = grid.probabilities(lambda x: stats.norm.logpdf(x[:, 0], 1, 0.5))
    want = expm_multiply((0.5 + changing * 0.125) * W, start)
    for N in (50, 100, 200, 400):
        at = (lambda t: (1 + t) * W) if changing else W
        *_, p = evolve(start, at, np.linspace(0, 0.5, N + 1))
        errors.append(np.abs(p - want).max() / want.max())
    assert errors[-1] < 2e-3
    assert np.abs(orders(errors) - 1).max() < 0.1


@pytest.mark.order
def test_the_heat_equation_is_its_kernel():
    """Ex 5.5: xi' = sigma Gamma from a point: k = sigma^2, so N(0, 2 sigma^2 t)."""
    sigma, t, errors = 0.8, 0.5, []
    free = brownian.ito(lambda x, t: 0 * x, lambda x, t: sigma + 0 * x)
    for n in (101, 201, 401):
        grid = line(n)
        W = process_operator(grid, free, 0.0)
        p = expm_multiply(t * W, delta(grid)) / grid.dx[0]
        want = heat.heat_kernel(grid.centres[:, 0], t, sigma**2)
        errors.append(np.abs(p - want).max())
    assert errors[-1] < 1e-3
    assert np.abs(orders(errors) - 2).max() < 0.1
    *_, p = evolve(delta(grid), W, np.linspace(0, t, 2001))
    assert np.abs(p / grid.dx[0] - want).max() < 2e-3
    var = (p * grid.centres[:, 0] ** 2).sum()
    assert var == pytest.approx(2 * sigma**2 * t, rel=1e-3)


@pytest.mark.order
def test_langevins_density_is_that_of_theorem_3_1():
    """A correlated Gaussian in the plane: mean and covariance at three times."""
    mean, cov = np.array([0.5, -0.3]), np.array([[1.0, 0.45], [0.45, 0.6]])
    mean0, cov0 = np.array([-1.0, 0.8]), np.array([[0.3, -0.1], [-0.1, 0.2]])
    for t in (0.1, 0.5, 1.5):
        want_mean, want_cov = langevin.langevin_law(mean0, cov0, mean, cov, t)
        errors = []
        for n in (30, 60):
            grid = Grid((n, n), (-6.0, -5.0), (6.0, 5.0))
            start = grid.probabilities(lambda x: gaussian.logpdf(x, mean0, cov0))
            W = potential_operator(grid, lambda x: gaussian.logpdf(x, mean, cov), 1.0)
            p = expm_multiply(t * W, start.ravel())
            x = grid.centres.reshape(-1, 2)
            r = x - p @ x
            got = [*(p @ x - want_mean), *((p[:, None] * r).T @ r - want_cov).ravel()]
            errors.append(np.abs(got).max())
        assert errors[-1] < 0.03
        assert np.abs(orders(errors) - 2).max() < 0.2


# particles, grid, closed form


def has_the_law(x, p, grid, bins=30):
    """Whether particles are in the grid's cells as p says, by chi-square at ALPHA."""
    edges = [
        np.linspace(low, high, n + 1)
        for low, high, n in zip(grid.low, grid.high, grid.cells, strict=True)
    ]
    count = np.histogramdd(x, edges)[0].ravel()
    assert count.sum() > len(x) - 5
    group = np.minimum((np.cumsum(p.ravel()) * bins).astype(int), bins - 1)
    seen, law = (np.bincount(group, v, bins) for v in (count, p.ravel() / p.sum()))
    seen, law = seen[law > 0], law[law > 0]
    return stats.chisquare(seen, seen.sum() * law).pvalue > ALPHA


def compared(process, grid, law, times, falling=False, marks=4, n=10_000, wrong=False):
    """Yield p of the grid, its density, particles and the closed form along a run."""
    rng, N = np.random.default_rng(0), len(times) - 1
    first = law(times[0])
    x, z = first.sample(n, rng), rng.standard_normal((N, n, 1))

    def W(t):
        return process_operator(grid, process, t, falling != wrong)

    densities = evolve(grid.probabilities(first.logpdf), W, times)
    path = solvers.paths(solvers.euler_maruyama_step, process, x, times, z)
    for k, (p, x) in enumerate(zip(densities, path, strict=True)):
        if k and k % (N // marks) == 0:
            yield p, x, law(times[k])


BACK = reversal.reverse(VP, MIXTURE.model)
OU = sde.ou(1.0, 1.4, T=3.0)
RUNS = {  # process, closed form, times, falling
    "OU": (
        Process(OU.f, lambda x, t: OU.g(t)),
        lambda t: toys.example_2_1().noised(*OU.marginal(t)),
        np.linspace(0, 3, 401),
        False,
    ),
    "VP": (
        FORWARD,
        lambda t: MIXTURE.noised(*VP.marginal(t)),
        np.linspace(0, 1, 401),
        False,
    ),
    "its reversal": (
        BACK,
        lambda t: MIXTURE.noised(*VP.marginal(t)),
        np.linspace(1, 0.02, 401),
        True,
    ),
}


@pytest.mark.law
@pytest.mark.parametrize("run", RUNS)
def test_particles_grid_and_closed_form_agree(run):
    """At four times each: grid to closed form, particles to both."""
    process, law, times, falling = RUNS[run]
    grid = line(400, -8.0, 8.0)
    for p, x, at in compared(process, grid, law, times, falling):
        gap = np.abs(p - grid.probabilities(at.logpdf)).sum()
        assert gap < 0.01 and abs(p.sum() - 1) < 1e-12
        assert ks_passes(x, mixture_cdf(at))[0]
        assert has_the_law(x, p, grid)


@pytest.mark.order
@pytest.mark.parametrize("run", RUNS)
def test_the_grid_tends_to_the_closed_form_in_time_and_space(run):
    """Twice the steps, half the error; 2 p(h/2) - p(h) is left with that of the cells."""
    process, law, times, falling = RUNS[run]
    grid, ends, errors = line(400, -8.0, 8.0), [], []

    def W(t):
        return process_operator(grid, process, t, falling)

    start = grid.probabilities(law(times[0]).logpdf)
    want = grid.probabilities(law(times[-1] / 2 + times[0] / 2).logpdf)
    for every in (8, 4, 2):
        *_, p = evolve(start, W, times[: len(times) // 2 + 1 : every])
        ends.append(p)
        errors.append(np.abs(p - want).sum())
    assert np.abs(orders(errors) - 1).max() < 0.25
    assert np.abs(2 * ends[2] - ends[1] - want).sum() < errors[2] / 5


@pytest.mark.control
def test_a_reversal_run_as_if_times_rose_goes_elsewhere():
    process, law, times, falling = RUNS["its reversal"]
    grid = line(100, -8.0, 8.0)
    run = compared(process, grid, law, times[::4], falling, n=10, wrong=True)
    for p, _, at in run:
        assert np.abs(p - grid.probabilities(at.logpdf)).sum() > 0.1


@pytest.mark.law
def test_langevin_keeps_the_equilibrium_of_example_3_2():
    """Metropolis-adjusted, from the two modes with their weights: it never crosses."""
    law, grid = toys.example_3_2(), line(600, -4.0, 5.0)
    x = np.repeat([[2.0], [-2.0]], [6_000, 4_000], axis=0)
    p = grid.probabilities(law.logpdf)
    run = langevin.mala(x, law.logpdf, law.score, 0.03, np.random.default_rng(0))
    x, _ = next(islice(run, 150, None))
    assert has_the_law(x, p, grid)
    assert ks_passes(x, mixture_cdf(law))[0]
    *_, rest = evolve(p, potential_operator(grid, law.logpdf, 1.0), [0.0, 6.0])
    assert has_the_law(x, rest, grid)


def ring_score(x):
    r = np.hypot(x[:, 0], x[:, 1])[:, None]
    return -16 * (r - 1) * x / r


@pytest.mark.law
def test_langevin_on_a_ring_has_the_grids_equilibrium():
    """The grid's end from one cell, particles from one point; radii by their own law."""
    grid = Grid((60, 60), (-2.5, -2.5), (2.5, 2.5))
    W = potential_operator(grid, ring, 1.0)
    *_, p = evolve(delta(grid, (40, 30)), W, [0.0, 0.1, 1.0, 1e2, 1e4, 1e5])

    def weight(r):
        return r * np.exp(-8 * (r - 1) ** 2)

    whole = integrate.quad(weight, 0, 4)[0]
    r = np.hypot(*np.moveaxis(grid.centres, -1, 0))
    for power in (1, 2, 4):
        want = integrate.quad(lambda r, k=power: r**k * weight(r), 0, 4)[0] / whole
        assert (p * r**power).sum() == pytest.approx(want, rel=1e-3)
    x = np.tile([0.8, 0.1], (10_000, 1))
    run = langevin.mala(x, ring, ring_score, 0.05, np.random.default_rng(0))
    x, _ = next(islice(run, 300, None))
    assert has_the_law(x, p, grid)
    edges = np.array([0, 0.6, *np.linspace(0.7, 1.5, 9), 1.6, 4.0])
    law = [integrate.quad(weight, a, b)[0] / whole for a, b in pairwise(edges)]
    seen = np.histogram(np.hypot(x[:, 0], x[:, 1]), edges)[0]
    assert stats.chisquare(seen, len(x) * np.array(law) / sum(law)).pvalue > ALPHA


# entropy


@pytest.mark.oracle
def test_relative_entropy_is_that_of_scipy_and_of_gaussians():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(12), 2).reshape(2, 3, 4)
    p[0] = 0
    p /= p.sum()
    want = special.rel_entr(p, q).sum()
    assert relative_entropy(p, q) == pytest.approx(want, rel=1e-13)
    assert relative_entropy(q, p) == np.inf
    assert relative_entropy(q, q) == 0
    grid = line(400, -9.0, 9.0)
    laws = [(0.5, 0.7), (-0.2, 1.1)]
    p, q = (
        grid.probabilities(lambda x, law=law: stats.norm.logpdf(x[:, 0], *law))
        for law in laws
    )
    mean, cov = np.array([[m] for m, _ in laws]), np.array([[[s**2]] for _, s in laws])
    want = gaussian.kl(mean[0], cov[0], mean[1], cov[1])
    assert relative_entropy(p, q) == pytest.approx(float(want), rel=1e-10)


def entropies(p, q, W, times):
    """KL of two solutions along a run."""
    both = zip(evolve(p, W, times), evolve(q, W, times), strict=True)
    return np.array([relative_entropy(a, b) for a, b in both])


@pytest.mark.identity
@grids
@settings(max_examples=12)
@given(seed=st.integers(0, 999))
def test_relative_entropy_never_rises(name, seed):
    """Between any two solutions, of rough drifts that change with time as well."""
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    size = int(np.prod(grid.cells))
    p, q = rng.dirichlet(np.full(size, 0.2), 2).reshape(2, *grid.cells) + 1e-12
    p, q = p / p.sum(), q / q.sum()
    A, B = rough(grid, seed), rough(grid, seed + 1000)
    times = np.append(0.0, np.cumsum(10.0 ** rng.uniform(-4, 0, 25)))
    for W in (A, lambda t: A + t * B):
        fall = entropies(p, q, W, times)
        assert (np.diff(fall) <= 1e-13).all()
        assert fall[-1] < fall[0]


@pytest.mark.limit
def test_relative_entropy_to_the_equilibrium_falls_to_0():
    """Also for the closed-form VP process, whose time-dependent law is another solution."""
    grid, logpdf = WELLS["ring"]
    W, rest = potential_operator(grid, logpdf, 1.0), grid.probabilities(logpdf)
    fall = entropies(
        delta(grid, (30, 20)), rest, W, np.append(0, np.geomspace(1e-3, 50))
    )
    assert (np.diff(fall) < 1e-13).all() and (np.diff(fall[:20]) < 0).all()
    assert fall[-1] < 1e-9
    grid = line(200, -8.0, 8.0)
    p, q = (
        grid.probabilities(MIXTURE.logpdf),
        grid.probabilities(lambda x: -(x[:, 0] ** 2)),
    )

    def at(t):
        return process_operator(grid, FORWARD, t)

    fall = entropies(p, q, at, np.linspace(0, 1, 101))
    assert (np.diff(fall) < 0).all()
    assert fall[-1] < 1e-3 * fall[0]


@pytest.mark.control
def test_relative_entropy_to_a_wrong_equilibrium_rises_at_some_time():
    grid, logpdf = WELLS["ring"]
    W = potential_operator(grid, logpdf, 1.0)
    wrong = grid.probabilities(lambda x: 1.2 * ring(x) + 0.3 * x[:, 0])
    path = evolve(delta(grid, (30, 20)), W, np.append(0, np.geomspace(1e-3, 50)))
    fall = np.array([relative_entropy(p, wrong) for p in path])
    assert np.diff(fall).max() > 1e-3


# the closing circle: forward SDE, probability flow, reverse SDE and one density

BETA = sde.linear_beta()
PROCESSES = {
    "VP": VP,
    "sub-VP": sde.sub_vp(BETA),
    "VE": sde.ve(0.01, 50.0),
}
LAW = toys.example_2_1()


class Exact:
    """A mixture under a process at 50 digits, from the definitions: p, score, f, g^2."""

    def __init__(self, name):
        number = mpmath.mpf
        self.name = name
        self.low, self.high = number(0.1), number(20)
        parts = zip(LAW.weights, LAW.means[:, 0], LAW.covs[:, 0, 0], strict=True)
        self.parts = [tuple(number(float(v)) for v in part) for part in parts]

    def beta(self, t):
        return self.low + t * (self.high - self.low)

    def B(self, t):
        return t * self.low + t**2 / 2 * (self.high - self.low)

    def marginal(self, t):
        """Signal and the noise's variance."""
        spent = mpmath.exp(-self.B(t))
        if self.name == "VE":
            return mpmath.mpf(1), (mpmath.mpf(0.01) * self.ratio**t) ** 2
        return mpmath.sqrt(spent), (1 - spent) ** (2 if self.name == "sub-VP" else 1)

    @property
    def ratio(self):
        return mpmath.mpf(50) / mpmath.mpf(0.01)

    def f(self, x, t):
        return 0 * x if self.name == "VE" else -self.beta(t) * x / 2

    def g2(self, t):
        if self.name == "VE":
            return 2 * mpmath.log(self.ratio) * self.marginal(t)[1]
        kept = 1 if self.name == "VP" else 1 - mpmath.exp(-2 * self.B(t))
        return self.beta(t) * kept

    def components(self, x, t):
        signal, var = self.marginal(t)
        for w, m, v in self.parts:
            total = signal**2 * v + var
            away = x - signal * m
            bell = mpmath.exp(-(away**2) / (2 * total)) / mpmath.sqrt(total)
            yield w * bell / mpmath.sqrt(2 * mpmath.pi), -away / total

    def p(self, x, t):
        return sum(p for p, _ in self.components(x, t))

    def score(self, x, t):
        return sum(p * s for p, s in self.components(x, t)) / self.p(x, t)

    def residuals(self, x, t, share=1):
        """Of the three equations, each over the size of its terms.

        dp/dt = -(f p)' + g^2/2 p'';  dp/dt = -((f - g^2/2 score) p)';  and backwards,
        -dp/dt = ((f - g^2 score) p)' + g^2/2 p''.  share: a factor of the score's
        """
        half = self.g2(t) / 2

        def slope(function):
            return mpmath.diff(function, x)

        change = mpmath.diff(lambda s: self.p(x, s), t)
        spread = half * mpmath.diff(lambda y: self.p(y, t), x, 2)
        carried = [
            slope(lambda y, c=c: (self.f(y, t) - c * self.score(y, t)) * self.p(y, t))
            for c in (0, share * half, 2 * share * half)
        ]
        sums = (
            (change, carried[0], -spread),
            (change, carried[1]),
            (change, carried[2], spread),
        )
        return [abs(sum(terms)) / sum(map(abs, terms)) for terms in sums]


points = list(product([0.05, 0.3, 0.9], [-2.2, -0.4, 1.1, 3.0]))


@pytest.mark.oracle
@pytest.mark.parametrize("name", PROCESSES)
def test_one_density_solves_all_three_equations(name):
    """To 45 digits; and the package's density, score and drifts are those numbers."""
    exact, process = Exact(name), PROCESSES[name]
    back = reversal.reverse(process, LAW.model)
    flow = reversal.probability_flow(process, LAW.model)
    for t, x in points:
        at, y = mpmath.mpf(t), mpmath.mpf(x)
        assert max(exact.residuals(y, at)) < mpmath.mpf(10) ** -45
        law, here = LAW.noised(*process.marginal(t)), np.array([[x]])
        f, score, g2 = exact.f(y, at), exact.score(y, at), exact.g2(at)
        pairs = [
            (law.logpdf(here), mpmath.log(exact.p(y, at)), 1),
            (law.score(here), score, 0),
            (process.f(here, t), f, 0),
            (process.g2(t), g2, 0),
            (back.f(here, t), f - g2 * score, abs(f) + abs(g2 * score)),
            (back.g(here, t) ** 2, g2, 0),
            (flow.f(here, t), f - g2 * score / 2, abs(f) + abs(g2 * score)),
        ]
        for got, want, scale in pairs:
            error = abs(mpmath.mpf(float(np.squeeze(got))) - want)
            assert error <= 1e-12 * max(abs(want), scale)


@pytest.mark.control
@pytest.mark.parametrize("share", [0.5, 2, -1, 0])
def test_another_factor_of_the_score_solves_neither(share):
    """(4.17) and (4.23) print beta/2 before the score of the reversal."""
    exact = Exact("VP")
    for t, x in points:
        left = exact.residuals(mpmath.mpf(x), mpmath.mpf(t), mpmath.mpf(share))
        assert min(left[1:]) > 1e-3 and left[0] < 1e-30


@pytest.mark.identity
@pytest.mark.parametrize("name", PROCESSES)
def test_the_flow_carries_the_probability_inside_quantiles(name):
    """F_t(x_t) stays what it was: forwards from all quantiles, and back again."""
    process = PROCESSES[name]
    flow = reversal.probability_flow(process, LAW.model)
    times = np.array([0.05, 0.2, 0.5, 1.0])
    cdf = [mixture_cdf(LAW.noised(*process.marginal(t))) for t in times]
    x = np.linspace(-3.0, 4.0, 30)[:, None]
    inside = cdf[0](x[:, 0])
    assert inside[0] < 1e-3 and inside[-1] > 0.95
    path = ode.reference_flow(flow.f, x, times)
    for at, y in zip(cdf, path, strict=True):
        np.testing.assert_allclose(at(y[:, 0]), inside, rtol=0, atol=1e-9)
        assert (np.diff(y[:, 0]) > 0).all()
    again = ode.reference_flow(flow.f, path[-1], times[::-1])[-1]
    np.testing.assert_allclose(again, x, rtol=0, atol=1e-6)


@pytest.mark.order
@pytest.mark.parametrize("name", PROCESSES)
def test_the_grids_rate_is_the_change_of_the_closed_form(name):
    """Forwards; backwards with the other sign; and v p of the flow is the current."""
    process, t, h = PROCESSES[name], 0.4, 1e-4
    forward = Process(process.f, lambda x, t: process.g(t))
    back = reversal.reverse(process, LAW.model)
    flow = reversal.probability_flow(process, LAW.model)

    def p(x, t):
        return np.exp(LAW.noised(*process.marginal(t)).logpdf(x))

    errors = []
    for n in (200, 400, 800):
        grid = line(n, -9.0, 9.0)
        x, faces = grid.centres, grid.faces(0)
        near, far = (p(x, t + k * h) - p(x, t - k * h) for k in (1, 2))
        change = (8 * near - far) / (12 * h)
        W = process_operator(grid, forward, t)
        V = process_operator(grid, back, t, falling=True)
        S = (flow.f(faces, t) * p(faces, t)[:, None])[:, 0]
        gaps = [
            np.abs(W @ p(x, t) - change).max() / np.abs(change).max(),
            np.abs(V @ p(x, t) + change).max() / np.abs(change).max(),
            np.abs(current(p(x, t) * grid.dx[0], W, grid)[0] - S).max() / S.max(),
        ]
        errors.append(gaps)
    assert np.max(errors[-1]) < 0.01
    assert np.abs(measured_order(np.array(errors).T) - 2).max() < 0.15


@pytest.mark.order
def test_in_the_plane_both_directions_are_carried():
    """The change of a mixture's density under VP, forwards and backwards."""
    law = toys.blobs([0.4, 0.6], [[-1.0, 0.5], [1.5, -0.2]], [0.6, 0.9])
    back, t, h, errors = reversal.reverse(VP, law.model), 0.2, 1e-3, []
    for n in (40, 80):
        grid = Grid((n, n + 20), (-6.0, -5.0), (6.0, 5.0))

        def p(t, x=grid.centres):
            return np.exp(law.noised(*VP.marginal(t)).logpdf(x)).ravel()

        near, far = (p(t + k * h) - p(t - k * h) for k in (1, 2))
        change = (8 * near - far) / (12 * h)
        W = process_operator(grid, FORWARD, t)
        V = process_operator(grid, back, t, falling=True)
        gaps = np.abs([W @ p(t) - change, V @ p(t) + change]).max(axis=1)
        errors.append(gaps / np.abs(change).max())
    assert np.max(errors[-1]) < 0.02
    assert np.abs(measured_order(np.array(errors).T) - 2).max() < 0.3


# refusals


def test_what_has_no_meaning_is_refused():
    grid, other = line(10), line(12)
    W = operator(grid, lambda x, axis: -x[:, 0], 1.0)
    p, flat = np.full(10, 0.1), np.zeros(10)

    def with_drift(value):
        return lambda: operator(grid, lambda x, axis: value(x), 1.0)

    def with_diffusion(value):
        return lambda: operator(grid, lambda x, axis: -x[:, 0], value)

    def with_potential(value):
        return lambda: potential_operator(grid, value, 1.0)

    varied = Process(lambda x, t: -x, lambda x, t: 1 + 0.1 * x)
    still = reversal.probability_flow(VP, MIXTURE.model)
    bad = {
        "1 or 2 entries": lambda: Grid((4, 4), (0.0,), (1.0,)),
        "have 1 or 2": lambda: Grid((4,) * 3, (0.0,) * 3, (1.0,) * 3),
        "need 3 cells or more .* got 2, 0.0, 1.0": lambda: Grid((2,), (0.0,), (1.0,)),
        "and low < high; got 4, 1.0": lambda: Grid((4,), (1.0,), (1.0,)),
        "low < high; got 4, nan": lambda: Grid((4,), (np.nan,), (1.0,)),
        "width must be finite": lambda: Grid((4,), (0.0,), (np.inf,)),
        "logpdf must return": lambda: grid.probabilities(lambda x: x),
        "its most is nan": lambda: grid.probabilities(lambda x: x[:, 0] * np.nan),
        "its most is inf": lambda: grid.probabilities(lambda x: flat + np.inf),
        "its most is -inf": lambda: grid.probabilities(lambda x: flat - np.inf),
        "w must be finite": lambda: bernoulli(np.array([np.inf])),
        "drift must be finite": with_drift(lambda x: x[:, 0] * np.nan),
        "drift must return": with_drift(lambda x: -x),
        "drift must return .*got shape ..": with_drift(lambda x: 1.0),
        "diffusion must be above 0; got 0.0": with_diffusion(0.0),
        "diffusion must be finite": with_diffusion(np.inf),
        "diffusion must be finite; it": with_diffusion(
            lambda x: 1 / flat[1:].clip(np.nan)
        ),
        "diffusion must be above 0; got -5": with_diffusion(lambda x: x[:, 0] - 1),
        "diffusion must return": with_diffusion(lambda x: x**2 + 1),
        "logpdf must return .10": with_potential(lambda x: -(x**2)),
        "logpdf must be finite": with_potential(lambda x: flat - np.inf),
        "g must be one number": lambda: process_operator(grid, varied, 0.0),
        "diffusion must be above": lambda: process_operator(grid, still, 0.3, True),
        "p must hold 10 cells": lambda: evolve(np.ones(12), W, [0.0, 1.0]),
        "p must be finite": lambda: evolve(p * np.nan, W, [0.0, 1.0]),
        "grid must": lambda: evolve(p, W, [0.0, 1.0, 1.0]),
        "p must hold 10": lambda: current(np.ones(12), W, grid),
        "p must hold 12": lambda: current(p, W, other),
        "p must be finite; it": lambda: current(p * np.inf, W, grid),
        "q must be finite": lambda: relative_entropy(p, p * np.nan),
        "p must be finite; it holds": lambda: relative_entropy(p * np.nan, p),
        "all must have one shape": lambda: relative_entropy(p, p[:, None]),
        "q must be at least 0 with sum 1": lambda: relative_entropy(p, 2 * p),
        "p must be at least 0 with sum 1": lambda: relative_entropy(
            np.append(p[:9], [-0.1, 0.2]), np.full(11, 1 / 11)
        ),
    }
    for match, call in bad.items():
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError):
        Grid((4.0,), (0.0,), (1.0,))


def test_entropy_of_what_hardly_is_there_is_finite():
    got = fokker_planck.relative_entropy(np.array([0.5, 0.5]), np.array([1e-320, 1.0]))
    assert got == pytest.approx(np.log(0.5) - np.log(1e-320) / 2, rel=1e-12)


def test_a_step_too_long_is_refused_and_dense_rates_are_taken():
    grid = fokker_planck.Grid((5,), (0.0,), (1.0,))
    W, p = fokker_planck.operator(grid, lambda x, axis: 0 * x[:, 0], 1.0), np.eye(5)[0]
    for h in (1e13, 1e15, 1e17, 1e20):
        with pytest.raises(ValueError, match=re.escape(f"h = {h} is too long")):
            list(fokker_planck.evolve(p, W, np.array([0.0, h])))
    with pytest.raises(ValueError, match="h = 1.0 is too long: .*singular"):
        list(fokker_planck.evolve(p, np.eye(5), np.array([0.0, 1.0])))
    *_, rest = fokker_planck.evolve(p, W, np.array([0.0, 1e11]))
    np.testing.assert_allclose(rest, 0.2, rtol=1e-3)
    times = np.array([0.0, 0.1, 0.3])
    for got, want in zip(
        fokker_planck.evolve(p, W.toarray(), times),
        fokker_planck.evolve(p, W, times),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    (got,), (want,) = (fokker_planck.current(p, V, grid) for V in (W.toarray(), W))
    np.testing.assert_array_equal(got, want)


def test_a_drift_that_is_one_number_broadcasts():
    grid = fokker_planck.Grid((5, 4), (0.0, 0.0), (1.0, 1.0))
    one = fokker_planck.process_operator(
        grid, Process(lambda x, t: 0.3, lambda x, t: 1.0), 0.0
    )
    all_ = fokker_planck.process_operator(
        grid, Process(lambda x, t: 0.3 + 0 * x, lambda x, t: 1.0), 0.0
    )
    np.testing.assert_array_equal(one.toarray(), all_.toarray())
