"""Likelihoods by the flow, and weighted losses, against closed forms and quadrature."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from support import check_grad, levels, mixtures

from refdiff import gaussian, ode, sde
from refdiff.likelihood import (
    bits_per_dim,
    continuous_loss,
    divergence,
    flow_with_divergence,
    linearised_eps,
    linearised_mixture,
    log_likelihood,
    weight_likelihood,
    weight_noise,
)
from refdiff.matching import dsm_loss
from refdiff.mixture import Mixture
from refdiff.net import MLP
from refdiff.ode import reference_flow
from refdiff.reversal import snr_grid
from refdiff.schedule import Level

PROCESSES = {
    "VP linear": sde.vp(sde.linear_beta()),
    "VP cosine": sde.vp(sde.cosine_beta()),
    "sub-VP": sde.sub_vp(sde.linear_beta()),
    "VE": sde.ve(0.01, 50.0),
    "EDM": sde.edm(80.0),
    "OU": sde.ou(1.3, 0.7, T=5.0),
}
processes = pytest.mark.parametrize("name", PROCESSES)
VP = PROCESSES["VP linear"]
SIGNS = np.array(list(product([-1.0, 1.0], repeat=2)))


def world(d):
    """A mixture of three Gaussians with entries of order 1 in d dimensions."""
    rng = np.random.default_rng(d)
    roots = 0.5 * rng.standard_normal((3, d, d)) / np.sqrt(d)
    covs = roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(d)
    return Mixture(np.array([0.5, 0.3, 0.2]), rng.standard_normal((3, d)), covs)


def setting(process, d, n=4):
    """Law, first time, points there and their log density, and the law at T."""
    law, t_min = world(d), process.time(3.0)
    first, last = (law.noised(*process.marginal(t)) for t in (t_min, process.T))
    x = first.sample(n, np.random.default_rng(0))
    return law, t_min, x, first.logpdf(x), last


def rising(process, N, t_min):
    return snr_grid(process, N, t_min)[::-1]


def rising_between(process, most, least, N=60):
    """Rising times between two values of log SNR, even in it."""
    return np.array([process.time(v) for v in np.linspace(most, least, N + 1)])


def with_score(model, s=1.0, J=1.0):
    """The model with its score and its derivative scaled, each by its own slip."""

    def slipped(x, level):
        score, push = model(x, level)
        return s * score, lambda v: J * push(v)

    return slipped


def network(d, seed, scale=0.5, T=1.0):
    net = MLP(d, T, (8, 6), 2)
    return net, scale * np.random.default_rng(seed).standard_normal(net.size)


# models with their derivative


def differences(score, x, v, h=1e-3):
    """Derivative of score along v, by central differences of fourth order."""
    near, far = (score(x + k * h * v) - score(x - k * h * v) for k in (1, 2))
    return (8 * near - far) / (12 * h)


def assert_is_the_derivative(model, score, x, level, v, rtol):
    s, push = model(x, level)
    np.testing.assert_allclose(s, score(x), rtol=1e-11, atol=1e-11 * np.abs(s).max())
    want = differences(score, x, v)
    np.testing.assert_allclose(push(v), want, rtol=0, atol=rtol * np.abs(want).max())


@pytest.mark.gradient
@given(law=mixtures(), level=levels(), seed=st.integers(0, 99))
def test_linearised_models_have_their_derivative(law, level, seed):
    """By differences; and a mixture's is symmetric, for it is a second derivative."""
    rng, level = np.random.default_rng(seed), Level(*level, 0.3)
    x, u, v = rng.standard_normal((3, 4, law.d))
    model = linearised_mixture(law)
    at = law.noised(level.signal, level.noise)
    s, push = model(x, level)
    np.testing.assert_allclose(s, at.score(x), 1e-11, 1e-11 * np.abs(s).max())
    h = 1e-3 * np.sqrt(np.linalg.eigvalsh(at.covs).min())
    want, scale = differences(at.score, x, v, h), np.abs(push(v)).max()
    np.testing.assert_allclose(push(v), want, rtol=0, atol=1e-7 * max(1, scale))
    across = [(u * push(v)).sum(axis=1), (v * push(u)).sum(axis=1)]
    np.testing.assert_allclose(*across, rtol=1e-10, atol=1e-11 * max(1, scale))

    net, params = network(law.d, seed, T=50.0)
    model, noise = linearised_eps(net, params, T=50.0), level.noise

    def score(x):
        return -net.forward(params, x, np.full(len(x), 15.0))[0] / noise

    assert_is_the_derivative(model, score, x, level, v, 1e-9)


@pytest.mark.identity
@given(law=mixtures(), level=levels(), seed=st.integers(0, 99))
def test_the_mixtures_derivative_is_tweedies_of_second_order(law, level, seed):
    """J = (signal^2 Cov[x0 | x] / noise^2 - I) / noise^2, from the posterior of x0."""
    signal, noise = level
    x = law.noised(signal, noise).sample(3, np.random.default_rng(seed))
    _, push = linearised_mixture(law)(x, Level(signal, noise, 0.0))
    cov = law.denoise_cov(x, signal, noise)
    J = (signal**2 * cov / noise**2 - np.eye(law.d)) / noise**2
    for i, e in enumerate(np.eye(law.d)):
        got = push(np.broadcast_to(e, x.shape))
        np.testing.assert_allclose(got, J[:, i], rtol=1e-9, atol=1e-11 / noise**4)


@pytest.mark.control
def test_a_network_asked_at_another_time_is_another_model():
    net, params = network(2, 0, T=1000.0)
    x, level = np.ones((1, 2)), VP.level(0.4)
    s, push = linearised_eps(net, params, 1000.0)(x, level)
    early, early_push = linearised_eps(net, params)(x, level)
    assert np.abs(s - early).max() > 1e-2
    assert np.abs(push(x) - early_push(x)).max() > 1e-2


# divergence


@pytest.mark.identity
def test_hutchinson_takes_the_mean_over_probes():
    """Three fixed probes by hand; all signs give the trace, one alone does not."""
    J, x = np.array([[1.0, 2.0], [5.0, -3.0]]), np.zeros((2, 2))

    def push(v):
        return v @ J.T

    probes = np.array([[[1.0, 0], [1, 1]], [[1, -1], [2, 0]], [[0, 3], [1, -1]]])
    # v^T J v = v1^2 + 7 v1 v2 - 3 v2^2
    by_hand = [[1, 5], [-9, 4], [-27, -9]]
    np.testing.assert_array_equal(divergence(push, x, probes), np.mean(by_hand, axis=0))
    np.testing.assert_array_equal(divergence(push, x, None), [-2, -2])
    every = np.repeat(SIGNS[:, None], 2, axis=1)
    np.testing.assert_array_equal(divergence(push, x, every), [-2, -2])
    alone = [divergence(push, x, v[None])[0] for v in every]
    assert set(alone) == {-9, 5}


@pytest.mark.identity
@given(d=st.integers(1, 5), seed=st.integers(0, 999))
def test_hutchinson_is_unbiased_for_any_jacobian(d, seed):
    """All 2^d signs, and +-sqrt(d) e_i, have mean v v^T = I: so the trace, exactly."""
    rng = np.random.default_rng(seed)
    J, n = rng.standard_normal((3, d, d)), 3  # one Jacobian a row

    def push(v):
        return np.einsum("nij,nj->ni", J, v)

    x, trace = np.zeros((n, d)), np.trace(J, axis1=1, axis2=2)
    axes = np.sqrt(d) * np.vstack([np.eye(d), -np.eye(d)])
    for vectors in (np.array(list(product([-1.0, 1.0], repeat=d))), axes):
        probes = np.repeat(vectors[:, None], n, axis=1)
        np.testing.assert_allclose(divergence(push, x, probes), trace, atol=1e-13)
    np.testing.assert_allclose(divergence(push, x, None), trace, atol=1e-13)


@pytest.mark.law
def test_normal_probes_have_the_mean_and_the_scatter_that_hutchinson_gave():
    """Variance 2 ||S||^2 for normal probes, 2 sum_{i != j} S_ij^2 for signs."""
    J = np.array([[1.0, 2.0], [5.0, -3.0]])
    rng, n = np.random.default_rng(0), 100_000
    S = (J + J.T) / 2
    off = S - np.diag(np.diag(S))
    draws = (
        (rng.standard_normal((1, n, 2)), 2 * (S**2).sum()),
        (rng.choice([-1.0, 1.0], (1, n, 2)), 2 * (off**2).sum()),
    )
    for probes, var in draws:
        got = divergence(lambda v: v @ J.T, np.zeros((n, 2)), probes)
        assert abs(got.mean() + 2) < 5.5 * np.sqrt(var / n)
        assert got.var() == pytest.approx(var, rel=0.05)


# the flow


@pytest.mark.oracle
@processes
@pytest.mark.parametrize(("d", "N"), [(1, 100), (2, 150)])
def test_the_flow_gives_the_closed_form_density(name, d, N):
    """With the exact law at T as prior, by RK4 and, to 1e-10 nats, by SciPy."""
    process = PROCESSES[name]
    law, t_min, x, want, last = setting(process, d)
    model = linearised_mixture(law)
    grid = rising(process, N, t_min)
    got, x_T = log_likelihood(x, process, model, grid, last.logpdf)
    assert np.abs(got - want).max() < 1e-6
    ends = [t_min, process.T]
    scipys, x_end = log_likelihood(x, process, model, ends, last.logpdf, tableau=None)
    assert np.abs(scipys - want).max() < 1e-10
    np.testing.assert_allclose(x_T, x_end, rtol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["VP linear", "VE", "OU"])
def test_the_flow_gives_the_closed_form_density_in_eight_dimensions(name):
    process = PROCESSES[name]
    law, t_min, x, want, last = setting(process, 8, n=3)
    got, _ = log_likelihood(
        x, process, linearised_mixture(law), [t_min, process.T], last.logpdf, None, None
    )
    assert np.abs(got - want).max() < 1e-9


@pytest.mark.order
def test_the_likelihood_by_rk4_is_of_fourth_order():
    law, t_min, x, want, last = setting(VP, 2)
    errors = []
    for N in (25, 50, 100):
        grid = rising(VP, N, t_min)
        got, _ = log_likelihood(x, VP, linearised_mixture(law), grid, last.logpdf)
        errors.append(np.abs(got - want).max())
    assert np.abs(np.diff(np.log2(errors)) + 4).max() < 0.3


@pytest.mark.oracle
@processes
def test_the_gaussian_prior_alone_is_what_the_default_loses(name):
    """log N(x_T | 0, noise(T)^2 I) - log p_T(x_T), to the last digit."""
    process = PROCESSES[name]
    law, t_min, x, _, last = setting(process, 2)
    model, grid = linearised_mixture(law), rising(process, 20, t_min)
    exact, x_T = log_likelihood(x, process, model, grid, last.logpdf)
    default, x_end = log_likelihood(x, process, model, grid)
    np.testing.assert_array_equal(x_T, x_end)
    r = x_T / process.marginal(process.T)[1]
    normal = -0.5 * (r**2).sum(axis=1) - np.log(2 * np.pi)
    normal -= 2 * np.log(process.marginal(process.T)[1])
    want = normal - last.logpdf(x_T)
    np.testing.assert_allclose(default - exact, want, rtol=0, atol=1e-12)


@pytest.mark.limit
def test_the_gaussian_prior_of_vp_costs_a_hundredth_of_a_nat():
    """Signal 0.0066 is left at T; and KL(p_T || prior) <= signal^2 E|x0|^2 / 2 + ..."""
    law, t_min, x, want, _ = setting(VP, 2, n=200)
    assert 0.5 < np.trace(law.cov) / 2 < 1.5
    got, _ = log_likelihood(x, VP, linearised_mixture(law), rising(VP, 60, t_min))
    assert 1e-4 < np.abs(got - want).max() < 0.05
    assert np.abs(got - want).mean() < 1e-2
    assert 0 <= (want - got).mean() < 1e-3  # on average a divergence, of second order


@pytest.mark.identity
@processes
def test_forward_and_backward_agree(name):
    """From x_T back with its log density: x again, and the same value."""
    process = PROCESSES[name]
    law, t_min, x, want, last = setting(process, 2)
    model, ends = linearised_mixture(law), np.array([t_min, process.T])
    log_p, x_T = log_likelihood(x, process, model, ends, last.logpdf, tableau=None)
    start = np.column_stack([x_T, last.logpdf(x_T)])
    slope = flow_with_divergence(process, model)
    end = reference_flow(slope, start, ends[::-1])[-1]
    np.testing.assert_allclose(end[:, :2], x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(end[:, 2], log_p, rtol=0, atol=1e-9)
    np.testing.assert_allclose(end[:, 2], want, rtol=0, atol=1e-9)


@pytest.mark.identity
@processes
@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_the_density_falls_by_the_divergence_along_the_flow(name, share, seed):
    """d/dt log p_t(x_t) by differences of the closed form, x moved by the slope."""
    process, law = PROCESSES[name], world(2)
    t = process.time((1 - share) * 2 + share * process.log_snr(process.T))
    x = law.noised(*process.marginal(t)).sample(3, np.random.default_rng(seed))
    state = np.column_stack([x, np.zeros(3)])
    slope = flow_with_divergence(process, linearised_mixture(law))(state, t)

    h = 1e-3 * process.marginal(t)[1] ** 2 / process.g2(t)
    h = min(h, (process.T - t) / 3)

    def log_p(k):
        at = law.noised(*process.marginal(t + k * h))
        return at.logpdf(x + k * h * slope[:, :2])

    rate = (8 * (log_p(1) - log_p(-1)) - (log_p(2) - log_p(-2))) / (12 * h)
    size = process.g2(t) / process.marginal(t)[1] ** 2
    np.testing.assert_allclose(slope[:, 2], rate, rtol=0, atol=1e-8 * size)


@pytest.mark.identity
def test_hutchinsons_likelihood_is_right_on_average_and_scatters():
    """The path does not see the probes: the mean over all signs is the exact value."""
    law, t_min, x, _, last = setting(VP, 2)
    model, grid = linearised_mixture(law), rising(VP, 30, t_min)
    exact, x_T = log_likelihood(x, VP, model, grid, last.logpdf)
    every = np.repeat(SIGNS[:, None], len(x), axis=1)
    whole, _ = log_likelihood(x, VP, model, grid, last.logpdf, every)
    np.testing.assert_allclose(whole, exact, rtol=0, atol=1e-11)
    single = []
    for probe in every:
        got, end = log_likelihood(x, VP, model, grid, last.logpdf, probe[None])
        np.testing.assert_array_equal(end, x_T)
        single.append(got)
    np.testing.assert_allclose(np.mean(single, axis=0), exact, rtol=0, atol=1e-11)
    assert (np.std(single, axis=0) > 1e-2).all()


@pytest.mark.control
@pytest.mark.parametrize(
    "slip",
    ["none", "no half", "sign of the trace", "sign of the fall", "sum", "no a d"],
)
@pytest.mark.parametrize("name", ["VP linear", "VE", "OU"])
def test_a_slip_in_the_flow_misses_the_density(slip, name):
    """A missing half doubles the score; a sum over 4 probes multiplies J by 4."""
    process = PROCESSES[name]
    law, t_min, x, want, last = setting(process, 2)
    slips = {"no half": (2, 2), "sign of the trace": (1, -1), "sum": (1, 4)}
    model = with_score(linearised_mixture(law), *slips.get(slip, (1, 1)))
    grid = rising(process, 60, t_min)
    got, x_T = log_likelihood(x, process, model, grid, last.logpdf)
    if slip == "sign of the fall":
        got = 2 * last.logpdf(x_T) - got
    if slip == "no a d":
        got = got - 2 * np.log(process.marginal(process.T)[0])
    error = np.abs(got - want).max()
    right = slip == "none" or (slip == "no a d" and name == "VE")
    assert error < 2e-5 if right else error > 0.1


@pytest.mark.oracle
@pytest.mark.parametrize("name", PROCESSES)
def test_the_density_of_a_networks_flow_has_mass_one(name):
    """No mixture, no closed form: any flow only moves mass. A wrong sign makes some.

    Over a part of the process, so that the line of a network that knows nothing of it
    stays in view.
    """
    process = PROCESSES[name]
    net, params = network(1, 0, 0.3, process.T)
    grid = rising_between(process, 1.0, -0.5)
    noise = process.marginal(grid[-1])[1]
    x = np.linspace(-30, 30, 801) * noise
    log_p, x_T = log_likelihood(x[:, None], process, linearised_eps(net, params), grid)
    wrong = 2 * gaussian.logpdf(x_T, np.zeros(1), noise**2 * np.eye(1)) - log_p
    mass, none = (np.exp(v).sum() * (x[1] - x[0]) for v in (log_p, wrong))
    assert mass == pytest.approx(1, abs=1e-7)
    assert abs(none - 1) > 1e-3


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["VP cosine", "VE"])
def test_a_networks_likelihood_is_its_volume_change(name):
    """log det of the Jacobian of the map x -> x_T, by differences: no divergence."""
    process = PROCESSES[name]
    net, params = network(2, 3, 0.4, process.T)
    model, ends = (
        linearised_eps(net, params),
        rising_between(process, 1.0, -0.5)[[0, -1]],
    )
    x = np.random.default_rng(0).standard_normal((3, 2))
    log_p, x_T = log_likelihood(x, process, model, ends, tableau=None)

    def end(x):
        return log_likelihood(x, process, model, ends, tableau=None)[1]

    J = np.stack([differences(end, x, np.tile(e, (3, 1))) for e in np.eye(2)], axis=-1)
    noise = process.marginal(ends[-1])[1]
    prior = gaussian.logpdf(x_T, np.zeros(2), noise**2 * np.eye(2))
    want = prior + np.linalg.slogdet(J)[1]
    np.testing.assert_allclose(log_p, want, rtol=0, atol=1e-8)


@pytest.mark.oracle
def test_a_networks_divergence_is_that_of_differences():
    net, params = network(3, 1)
    x, level = np.random.default_rng(0).standard_normal((4, 3)), VP.level(0.3)
    _, push = linearised_eps(net, params)(x, level)

    def score(x):
        return linearised_eps(net, params)(x, level)[0]

    units = [np.tile(e, (4, 1)) for e in np.eye(3)]
    want = sum(differences(score, x, e)[:, i] for i, e in enumerate(units))
    np.testing.assert_allclose(divergence(push, x, None), want, rtol=1e-9, atol=1e-9)


# bits


@pytest.mark.identity
@given(d=st.integers(1, 5000))
def test_bits_per_dimension_state_their_offset(d):
    """Noise on 256 equal levels has 8 bits, scaled to -1..1 or to 0..1."""
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (0.0, 256.0)):
        log_p = np.full(3, -d * np.log(high - low))
        got = bits_per_dim(log_p, d, (high - low) / 256)
        np.testing.assert_allclose(got, 8, rtol=1e-13)
    for width, offset in ((2 / 256, 7), (1 / 256, 8)):
        assert bits_per_dim(np.zeros(1), d, width) == offset


@pytest.mark.oracle
@given(p=st.lists(st.floats(0.01, 1), min_size=2, max_size=9), width=st.floats(1e-3, 9))
def test_the_bits_of_dequantised_data_are_the_entropy_of_the_integers(p, width):
    """p[k] spread over its cell is a density p[k] / width."""
    p = np.array(p) / np.sum(p)
    got = p @ bits_per_dim(np.log(p / width), 1, width)
    assert got == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
def test_bits_of_a_density_are_never_below_those_of_its_integers(width):
    """The mean of log p over a cell is at most the log of its mean."""
    law = world(1)
    nodes, w = np.polynomial.legendre.leggauss(20)
    cells = width * np.arange(-np.ceil(12 / width), np.ceil(12 / width) + 1)
    x = cells[:, None] + width / 2 * nodes
    log_p = law.logpdf(x[..., None])
    P = width / 2 * np.exp(log_p) @ w
    assert P.sum() == pytest.approx(1, abs=1e-12)
    dequantised = P @ bits_per_dim(log_p, 1, width) @ w / 2
    entropy = -(P * np.log2(np.maximum(P, 1e-300))).sum()
    assert 0 < dequantised - entropy < 0.5 * width**2 / 0.1


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_levels_without_a_width_have_no_bits(bad):
    with pytest.raises(ValueError, match="width must be"):
        bits_per_dim(np.zeros(2), 3, bad)


# the weighted loss

P0 = (np.array([0.6, -0.4]), np.array([[0.8, 0.3], [0.3, 0.5]]))
Q0 = (np.array([-0.2, 0.3]), np.array([[0.4, -0.1], [-0.1, 0.9]]))
EVERY = {**PROCESSES, "OU that grows": sde.ou(-0.8, 0.7, T=2.0)}


def score_gap(p, q):
    """E_p ||score_p - score_q||^2 for Gaussians: by 5 points exact to second degree."""
    laws = [Mixture(np.ones(1), mean[None], cov[None]) for mean, cov in (p, q)]
    root = np.sqrt(2) * np.linalg.cholesky(p[1]).T
    x = p[0] + np.vstack([root, -root])
    gap = laws[0].score(x) - laws[1].score(x)
    return (gap**2).sum() / 4


def at_time(process, law, t):
    signal, noise = process.marginal(t)
    return signal * law[0], signal**2 * law[1] + noise**2 * np.eye(2)


def weighted_gap(process, weight, t_min):
    """Integral of weight/2 E_p ||score_p - score_q||^2 over t."""

    def rate(t):
        p, q = (at_time(process, law, t) for law in (P0, Q0))
        return weight(np.array(t), process) / 2 * score_gap(p, q)

    inner = [
        process.time(v) for v in (2.0, 1.0, 0.0, -1.0) if v > process.log_snr(process.T)
    ]
    found, error = integrate.quad(
        rate, t_min, process.T, epsabs=1e-13, epsrel=1e-12, limit=400, points=inner
    )
    assert error < 1e-9
    return found


def divergence_lost(process, t_min):
    kl = [
        gaussian.kl(*at_time(process, P0, t), *at_time(process, Q0, t))
        for t in (t_min, process.T)
    ]
    return kl[0] - kl[1]


@pytest.mark.oracle
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_likelihood_weighting_integrates_to_the_divergence(name, start):
    """KL(p_0 || q_0) - KL(p_T || q_T) = integral of g^2/2 E_p ||s_p - s_q||^2."""
    process = EVERY[name]
    t_min = start * process.T
    want = divergence_lost(process, t_min)
    got = weighted_gap(process, weight_likelihood, t_min)
    assert got == pytest.approx(want, rel=1e-10)


@pytest.mark.control
@pytest.mark.parametrize("name", EVERY)
def test_no_other_weighting_does(name):
    """Not noise^2, nor the loss without its half."""
    process = EVERY[name]
    want = divergence_lost(process, 0.0)
    for wrong in (
        weight_noise,
        lambda t, process: 2 * process.g2(t),
    ):
        assert abs(weighted_gap(process, wrong, 0.0) / want - 1) > 0.05


def grid_of_pairs(law, n=121):
    """x0, eps and weights for E over a 1-D mixture and the noise."""
    a, b = np.linspace(-8, 8, n), np.linspace(-8, 8, n)
    wa = np.exp(law.logpdf(a[:, None])) * (a[1] - a[0])
    wb = np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi) * (b[1] - b[0])
    x0, eps = (v.reshape(-1, 1) for v in np.meshgrid(a, b, indexing="ij"))
    return x0, eps, np.outer(wa, wb).ravel()


@pytest.mark.oracle
@pytest.mark.parametrize("weight", [weight_likelihood, weight_noise])
@pytest.mark.parametrize("name", ["VP linear", "sub-VP", "VE", "OU"])
def test_the_continuous_loss_is_explicit_matching_and_a_constant(name, weight):
    """As an integral over t: weight/2 (E||s - score||^2 + d/noise^2 - E||score||^2).

    Each side by its own quadrature, in x0 and eps there, in x here; so with g^2 it
    is the divergence from the data to the model, but for a constant.
    """
    process, law = (
        PROCESSES[name],
        Mixture(
            np.array([0.4, 0.6]),
            np.array([[-1.0], [0.8]]),
            np.array([[[0.3]], [[0.2]]]),
        ),
    )
    net, params = network(1, 0)
    nodes, gauss = np.polynomial.legendre.leggauss(4)
    t_min = process.time(1.0)
    times = t_min + (process.time(-1.0) - t_min) * (nodes + 1) / 2
    x0, eps, w = grid_of_pairs(law)
    got = want = 0.0
    for t, share in zip(times, gauss, strict=True):
        rows = np.full(len(x0), t)
        loss, _ = continuous_loss(
            params, net, x0, rows, eps, process, weight, share * w
        )
        got += loss
        signal, noise = process.marginal(t)
        at = law.noised(signal, noise)
        x = np.linspace(-12, 12, 4001) * max(1, noise)
        p = np.exp(at.logpdf(x[:, None])) * (x[1] - x[0])
        true = at.score(x[:, None])[:, 0]
        s = -net.predict(params, x[:, None], t)[:, 0] / noise
        inner = p @ ((s - true) ** 2 + 1 / noise**2 - true**2)
        want += share * weight(np.array(t), process) / 2 * inner
    assert got == pytest.approx(want, rel=1e-10)


@pytest.mark.gradient
@processes
@pytest.mark.parametrize("weight", [weight_likelihood, weight_noise])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_continuous_loss_has_its_gradient(name, weight, weighted):
    process, rng = PROCESSES[name], np.random.default_rng(0)
    net, params = network(2, 1, T=process.T)
    x0, eps = rng.standard_normal((2, 7, 2))
    t = process.T * rng.uniform(0.05, 1, 7)
    w = rng.random(7) if weighted else None

    def loss(params):
        return continuous_loss(params, net, x0, t, eps, process, weight, w)

    value, gradient = loss(params)
    assert isinstance(value, float) and gradient.shape == (net.size,)
    check_grad(lambda p: loss(p)[0], params, gradient)


@pytest.mark.identity
@processes
@pytest.mark.parametrize("weight", [weight_likelihood, weight_noise])
def test_the_continuous_loss_is_its_rows_written_out(name, weight):
    """Row by row from the level's numbers, in the score; the mean if there is no w."""
    process, rng = PROCESSES[name], np.random.default_rng(0)
    net, params = network(2, 1, T=process.T)
    x0, eps = rng.standard_normal((2, 5, 2))
    t, w, rows = process.T * rng.uniform(0.05, 1, 5), rng.random(5), []
    for i, time in enumerate(t):
        signal, noise, _ = process.level(time)
        x = signal * x0[i : i + 1] + noise * eps[i : i + 1]
        error = -net.forward(params, x, time)[0] / noise + eps[i] / noise
        rows.append(weight(time, process) / 2 * (error**2).sum())
    args = (params, net, x0, t, eps, process, weight)
    assert continuous_loss(*args)[0] == pytest.approx(np.mean(rows), rel=1e-12)
    assert continuous_loss(*args, w)[0] == pytest.approx(w @ rows, rel=1e-12)


@pytest.mark.identity
@pytest.mark.parametrize("weight", [weight_likelihood, weight_noise])
def test_for_ve_it_is_denoising_score_matching(weight):
    """Signal 1: dsm_loss of the network -eps_hat / noise, here a linear one.

    With weight noise^2 the scales cancel: the loss of the network with target eps.
    """
    process, rng = PROCESSES["VE"], np.random.default_rng(0)
    net = MLP(2, 1.0, (), 1)
    params = rng.standard_normal(net.size)
    x0, z = rng.standard_normal((2, 6, 2))
    for t in (0.1, 0.5, 1.0):
        noise = float(process.marginal(t)[1])
        got, gradient = continuous_loss(
            params, net, x0, np.full(6, t), z, process, weight
        )
        # a last layer is linear: -params / noise gives the score of params' eps_hat
        want, slope = dsm_loss(-params / noise, net, x0, z, noise, t=t)
        scale = weight(t, process)
        assert got == pytest.approx(scale * want, rel=1e-12)
        np.testing.assert_allclose(gradient, -scale * slope / noise, rtol=1e-10)


@pytest.mark.identity
@processes
def test_with_noise_squared_it_is_half_the_plain_error_of_eps(name):
    """An untrained network loses ||eps||^2 / 2 at any time of any process."""
    process, net = PROCESSES[name], MLP(2, 1.0, (4,), 1)
    x0, eps = np.random.default_rng(0).standard_normal((2, 5, 2))
    t = process.T * np.linspace(0.1, 1, 5)
    params = net.init(np.random.default_rng(0))
    loss, _ = continuous_loss(params, net, x0, t, eps, process)
    assert loss == pytest.approx((eps**2).sum() / 10, rel=1e-13)


# refusals


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"t": np.array([0.2, 1.1])}, "t must be in 0..1.0"),
        ({"t": np.array([0.2, -0.1])}, "t must be in 0..1.0"),
        ({"t": np.array([0.2, np.nan])}, "t must be finite"),
        ({"t": np.array([0.2, 0.0])}, "noise must be above 0"),
        ({"t": np.array([0.2])}, r"t must be \(2,\)"),
        ({"t": np.array([[0.2], [0.3]])}, r"t must be \(2,\)"),
        ({"t": np.array(0.2)}, r"t must be \(2,\)"),
        ({"eps": np.ones((1, 3))}, "one batch"),
        ({"eps": np.ones((2, 1))}, "last axis"),
        ({"x0": np.ones((2, 3)) * np.inf}, "x0 must be finite"),
        ({"x0": np.ones(3), "eps": np.ones(3)}, "one batch"),
        ({"w": np.ones((2, 1))}, r"w must be \(2,\)"),
        ({"w": np.array([1.0, np.nan])}, "w must be finite"),
    ],
)
def test_the_continuous_loss_refuses_what_would_broadcast(change, match):
    net, params = network(3, 0)
    given = {"x0": np.ones((2, 3)), "eps": np.ones((2, 3)), "t": np.array([0.2, 0.3])}
    with pytest.raises(ValueError, match=match):
        continuous_loss(params, net, sde=VP, **{**given, **change})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": np.ones(2)}, r"x must be \(n, d\); got shape \(2,\)"),
        ({"x": np.ones((1, 2)) * np.nan}, "x must be finite"),
        ({"x": np.ones((1, 3))}, "x must be"),
        ({"grid": np.array([0.1, 0.5, 0.4])}, "grid must rise"),
        ({"grid": np.array([1.0, 0.5, 0.1])}, "grid must rise; it falls from 1.0"),
        ({"grid": np.array([0.5, 1.5])}, "t must be in 0..1.0"),
        ({"probes": np.ones((3, 2))}, "probes must be"),
        ({"probes": np.ones((3, 1, 2))}, "probes must be"),
        ({"probes": np.ones((0, 2, 2))}, "probes must be"),
        ({"probes": np.full((1, 2, 2), np.nan)}, "probes must be finite"),
    ],
)
def test_the_likelihood_refuses_what_would_mislead(change, match):
    """A falling grid and probes of another shape would give numbers, and wrong ones."""
    given = {"x": np.ones((2, 2)), "grid": np.array([0.1, 0.5, 1.0])}
    with pytest.raises(ValueError, match=match):
        log_likelihood(
            sde=VP, model=linearised_mixture(world(2)), **{**given, **change}
        )


@pytest.mark.order
def test_the_likelihood_has_the_order_of_the_tableau_it_is_given():
    law, t_min, x, want, last = setting(VP, 1)
    for tableau, order in ((ode.EULER, 1), (ode.HEUN, 2)):
        errors = []
        for N in (100, 200):
            grid, model = rising(VP, N, t_min), linearised_mixture(law)
            got, _ = log_likelihood(x, VP, model, grid, last.logpdf, None, tableau)
            errors.append(np.abs(got - want).max())
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_a_density_that_is_not_finite_has_no_bits():
    with pytest.raises(ValueError, match="log_p must be finite"):
        bits_per_dim(np.array([0.0, np.nan]), 3, 1.0)


def test_a_network_is_not_asked_where_x_is_not_finite():
    net, params = network(2, 0)
    with pytest.raises(ValueError, match="x must be finite"):
        log_likelihood(
            np.full((1, 2), np.nan), VP, linearised_eps(net, params), [0.1, 0.5]
        )


def test_what_a_model_or_prior_returns_is_looked_at():
    """A plain score, a push or a prior of another shape: refused by name."""
    law, t_min, x, *_ = setting(VP, 1)
    grid, good = rising(VP, 4, t_min), linearised_mixture(law)
    with pytest.raises(TypeError, match=r"model must return \(score, push\)"):
        log_likelihood(x, VP, law.model, grid)
    for bad in (
        lambda x, level: (good(x, level)[0], lambda v: v[:, 0]),
        lambda x, level: (good(x, level)[0][:, 0], lambda v: v),
    ):
        with pytest.raises(ValueError, match="must have the shape of x"):
            log_likelihood(x, VP, bad, grid)
    for prior in (lambda z: -(z**2), lambda z: -1.0):
        with pytest.raises(ValueError, match="prior must return"):
            log_likelihood(x, VP, good, grid, prior)
    with pytest.raises(ValueError, match="d must be at least 1"):
        bits_per_dim(-1.0, 0, 1.0)
