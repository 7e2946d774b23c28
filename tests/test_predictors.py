"""Predictors and correctors: exact laws, the printed forms beside them, Song's steps."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from refdiff import ddpm, gaussian, langevin, reversal, schedule, sde, toys
from refdiff.mixture import Mixture
from refdiff.predictors import (
    Predictor,
    corrector_size,
    pc_chain,
    pc_sample,
    reverse_diffusion_step,
    reverse_step,
    smld_ancestral_step,
    smld_forward_step,
    smld_reverse_step,
    ve_predictor,
    vp_predictor,
)
from refdiff.probe import tabulate
from refdiff.samplers import measured_order

SCHED = schedule.constant(100, 0.95)  # Ex 4.6: beta = 0.05
SIGMA = langevin.ladder(0.1, 5.0, 12)
NORMAL = np.zeros(1), np.eye(1)
DATA = np.array([1.5]), np.array([[0.25]])


def printed_step(xt, t, score, z, sched):
    """(4.17) as printed: half of the score's factor."""
    return reverse_step(xt, t, score / 2, z, sched)


@pytest.mark.identity
def test_the_reverse_step_keeps_the_normal_law():
    """Where every p_i is N(0, 1) the variance stays 1: (1 - beta) + beta, exactly."""
    for sched in (SCHED, schedule.linear(1000), schedule.cosine(50)):
        _, covs = pc_chain(vp_predictor(sched)).law(*NORMAL)
        np.testing.assert_allclose(covs[:, 0, 0], 1, rtol=1e-12)


@pytest.mark.control
def test_the_printed_step_does_not_keep_it():
    """beta/2: the variance goes to 6.23 in 100 steps."""
    _, covs = pc_chain(vp_predictor(SCHED, printed_step)).law(*NORMAL)
    factor, var = (1 - 0.025) ** 2 / 0.95, 1.0
    for _ in range(100):
        var = factor * var + 0.05
    assert covs[-1, 0, 0] == pytest.approx(var, rel=1e-12)
    assert var == pytest.approx(6.23, abs=5e-3)


def pushed_density(step, x, p, sched, law):
    """Density after all reverse steps, by the transition kernel on a grid."""
    zero = np.zeros((len(x), 1))
    for t in range(sched.T, 0, -1):
        score = law.model(x[:, None], sched.level(t))
        mean = step(x[:, None], t, score, zero, sched)[:, 0]
        std = step(x[:, None], t, score, zero + 1, sched)[:, 0] - mean
        p = (stats.norm.pdf(x[:, None], mean, std) @ p) * (x[1] - x[0])
    return p


@pytest.mark.oracle
def test_what_half_the_score_does_to_example_4_7():
    """Half-line means 2.983 for the right step (3.001 in the data), 4.001 as printed."""
    law, x = toys.example_4_6(), np.linspace(-22, 22, 1100)
    half, dx = x > 0, x[1] - x[0]
    found = {}
    for step in (reverse_step, printed_step):
        p = pushed_density(step, x, stats.norm.pdf(x), SCHED, law)
        assert p.sum() * dx == pytest.approx(1, abs=1e-6)
        mean = p[half] @ x[half] / p[half].sum()
        std = np.sqrt(p @ x**2 * dx)
        found[step] = mean, std
    data = np.exp(law.logpdf(x[:, None]))
    truth = data[half] @ x[half] / data[half].sum()
    assert found[reverse_step] == pytest.approx((2.983, 3.148), abs=6e-4)
    assert found[printed_step] == pytest.approx((4.001, 4.453), abs=6e-4)
    assert (
        abs(found[reverse_step][0] - truth) < 0.03 < abs(found[printed_step][0] - truth)
    )


@pytest.mark.identity
@given(
    t=st.integers(1, 100),
    xt=st.floats(-3, 3),
    score=st.floats(-3, 3),
    z=st.floats(-3, 3),
)
def test_the_reverse_step_is_ddpms_with_variance_beta(t, xt, score, z):
    """The same as `ddpm_step_beta` from eps = -noise score, which adds none at t = 1."""
    xt, score, z = (np.array([v]) for v in (xt, score, z))
    eps = -SCHED.noise[t] * score
    want = ddpm.ddpm_step_beta(xt, t, eps, z, SCHED)
    got = reverse_step(xt, t, score, z * (t > 1), SCHED)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    noise = reverse_step(xt, t, score, z, SCHED) - got
    np.testing.assert_allclose(noise, (t == 1) * np.sqrt(0.05) * z, atol=1e-14)


@pytest.mark.order
@pytest.mark.parametrize("step", [reverse_step, reverse_diffusion_step])
def test_predictors_are_the_reverse_sde_to_first_order(step):
    """A run's law comes to the data's; a step is Euler-Maruyama's up to beta^2 and z's."""
    vp, run, one = sde.vp(sde.linear_beta(0.1, 6.0)), [], []
    for N in (128, 256, 512, 1024):
        sched = reversal.ddpm_schedule(vp, N)
        signal, noise2 = sched.signal[-1], sched.noise2[-1]
        start = signal * DATA[0], signal**2 * DATA[1] + noise2
        table = pc_chain(vp_predictor(sched, step))
        means, covs = table.law(*DATA, *start)
        run.append(abs(means[-1, 0] - 1.5) + abs(covs[-1, 0, 0] - 0.25))
        k = N // 2
        beta = sched.beta[N - k]
        gap = [table.A[k, 0, 0] - 1 - beta / 2, table.b[k, 0] - beta]
        one.append(np.abs(gap).sum())
        assert table.c[k, 0] == pytest.approx(np.sqrt(beta), rel=1e-12)
    assert abs(measured_order(run) - 1).max() < 0.1
    assert abs(measured_order(one) - 2).max() < 0.1


@pytest.mark.order
@pytest.mark.parametrize("step", [smld_reverse_step, smld_ancestral_step])
def test_both_reversals_of_smld_come_to_the_data(step):
    """Reverse diffusion and ancestral noise differ at each level, not in their limit."""
    errors = []
    for N in (100, 200, 400, 800):
        sigma = langevin.ladder(0.1, 5.0, N + 1)
        start = DATA[0], DATA[1] + sigma[-1] ** 2
        means, covs = pc_chain(ve_predictor(sigma, step)).law(*DATA, *start)
        want = 0.25 + sigma[0] ** 2
        errors.append(abs(means[-1, 0] - 1.5) + abs(covs[-1, 0, 0] - want))
    assert abs(measured_order(errors) - 1).max() < 0.1


@pytest.mark.identity
@given(i=st.integers(1, 11), share=st.floats(0, 1))
def test_the_ancestral_step_is_the_posterior(i, share):
    """q(x_{i-1} | x_i, x0), by conditioning; reverse diffusion has more noise."""
    x0, x = np.array([0.3]), np.array([-0.7])
    sigma = np.concatenate([[share * SIGMA[0]], SIGMA[1:]])
    v, V = sigma[i - 1] ** 2, sigma[i] ** 2
    score = (x0 - x) / V
    mean, var = gaussian.condition(
        np.array([0.3, 0.3]), np.array([[v, v], [v, V]]), [1], x
    )
    one = np.ones(1)
    got = smld_ancestral_step(x, i, score, 0 * one, sigma)
    np.testing.assert_allclose(got, mean, rtol=1e-10)
    std = smld_ancestral_step(x, i, score, one, sigma) - got
    np.testing.assert_allclose(std**2, var[0], rtol=1e-9, atol=1e-14)
    more = smld_reverse_step(x, i, score, one, sigma)
    np.testing.assert_allclose(more - got, np.sqrt(V - v), rtol=1e-10)


def test_the_numbers_of_erratum_29():
    """From sigma = 1 to 0.5: variances 0.75 and 0.1875; down to 0 ancestral adds none."""
    zero, one = np.zeros(1), np.ones(1)
    sigma = np.array([0.5, 1.0])
    assert smld_reverse_step(zero, 1, zero, one, sigma) ** 2 == pytest.approx(0.75)
    assert smld_ancestral_step(zero, 1, zero, one, sigma) ** 2 == pytest.approx(0.1875)
    assert smld_ancestral_step(zero, 1, zero, one, np.array([0.0, 1.0])) == 0


@pytest.mark.identity
def test_the_forward_step_of_smld_is_exact_at_the_levels():
    """(4.18): Var x_i = Var x_0 + sigma_i^2 - sigma_0^2 = the VE marginal's; not sigma_i^2."""

    def at(i):
        return lambda x, z, model: smld_forward_step(x, i, z, SIGMA)

    table = tabulate([at(i) for i in range(1, 12)])
    start = 0.25 + SIGMA[0] ** 2  # the data, and what noise they carry at t = 0
    _, covs = table.law(*NORMAL, np.zeros(1), np.array([[start]]))
    process = sde.ve(0.1, 5.0)
    _, noise = process.marginal(np.linspace(0, 1, 12))
    np.testing.assert_allclose(noise, SIGMA, rtol=1e-12)
    np.testing.assert_allclose(covs[:, 0, 0], 0.25 + noise**2, rtol=1e-12)
    assert covs[5, 0, 0] > 1.2 * SIGMA[5] ** 2


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["VP", "VE"])
@pytest.mark.parametrize("M", [0, 1, 3])
def test_a_chain_corrects_what_was_predicted(kind, M):
    """Algorithm 1 repaired, by a scalar recursion on Gaussian data; labels and counts."""
    r, (mean, v0) = 0.15, (1.5, 0.25)
    sched = schedule.constant(12, 0.8)
    if kind == "VP":
        table = pc_chain(vp_predictor(sched), M, r)
        at = list(zip(sched.signal, sched.noise, range(13), strict=True))[::-1]
    else:
        table = pc_chain(ve_predictor(SIGMA), M, r)
        at = [(1.0, s, i) for i, s in enumerate(SIGMA)][::-1]
    m, v, labels = 0.0, 1.0, []
    for (a, n, t), (b, k, s) in pairwise(at):
        beta = 0.2 if kind == "VP" else n**2 - k**2
        root = np.sqrt(0.8) if kind == "VP" else 1.0
        pull = 1 / (a**2 * v0 + n**2)
        m = (m - beta * pull * (m - a * mean)) / root
        v = ((1 - beta * pull) / root) ** 2 * v + beta
        labels.append(t)
        eps, pull = r * k**2, 1 / (b**2 * v0 + k**2)
        for _ in range(M if k else 0):
            m -= eps * pull * (m - b * mean)
            v = (1 - eps * pull) ** 2 * v + 2 * eps
            labels.append(s)
    start = np.zeros(1), np.eye(1)
    means, covs = table.law(np.array([mean]), np.array([[v0]]), *start)
    assert means[-1, 0] == pytest.approx(m, rel=1e-12)
    assert covs[-1, 0, 0] == pytest.approx(v, rel=1e-12)
    assert table.t.tolist() == labels
    assert table.evaluations == len(labels) == table.steps
    last = (len(at) - 1) * (1 + M) - (M if kind == "VP" else 0)  # none at noise 0
    assert table.steps == last


@pytest.mark.control
def test_the_printed_corrector_is_another_law():
    """SMLD's sqrt(eps) z keeps half the variance: .5025 for 1.005 on N(0, 1) at .01."""
    keeps = {}
    for factor in (1.0, 2.0):
        var = 1.0
        for _ in range(2000):
            var = (1 - 0.01) ** 2 * var + factor * 0.01
        keeps[factor] = var
    assert keeps[1.0] == pytest.approx(0.5025, abs=5e-5)
    assert keeps[2.0] == pytest.approx(1.005, abs=5e-4)
    assert langevin.stationary_cov(np.eye(1), 0.01) == pytest.approx(keeps[2.0])


@pytest.mark.law
def test_the_bias_of_the_data_dependent_step():
    """One step from the true law N(0, I): second moments, exactly, and 400,000 draws.

    E |x'|^2 / d = E[(1 - eps)^2 |x|^2 + 2 eps |z|^2] / d with eps = 2 r^2 |z|^2 / |x|^2,
    by quadrature over two chi-square laws, and by the formula of the docstring.
    """
    d, r, n = 6, 0.2, 400_000
    q = (np.arange(2000) + 0.5) / 2000
    a, b = np.meshgrid(stats.chi2.ppf(q, d), stats.chi2.ppf(q, d))
    eps = 2 * r**2 * b / a
    by_grid = ((1 - eps) ** 2 * a + 2 * eps * b).mean() / d
    formula = 1 + 16 * r**2 / (d - 2) + 4 * r**4 * (d + 2) / (d - 2)
    assert by_grid == pytest.approx(formula, rel=2e-3)
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, n, d))
    seen = {}
    for over_batch in (False, True):
        eps = corrector_size(-x, z, r, over_batch=over_batch)
        assert eps.shape == ((1, 1) if over_batch else (n, 1))
        moved = ((x - eps * x + np.sqrt(2 * eps) * z) ** 2).mean(axis=1)
        seen[over_batch] = moved.mean(), 5 * moved.std() / np.sqrt(n)
    assert seen[False][0] == pytest.approx(formula, abs=seen[False][1])
    assert seen[True][0] == pytest.approx(1 + 4 * r**4, abs=seen[True][1])
    assert seen[False][0] - 1 > 20 * (seen[True][0] - 1)


@pytest.mark.oracle
def test_the_size_of_songs_step_is_his_formula():
    """By norms worked out on paper: |z| = 5, |score| = 2 and |z| = 1, |score| = 4."""
    z, score = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[2.0, 0.0], [0.0, -4.0]])
    eps = corrector_size(score, z, 0.16)
    np.testing.assert_allclose(eps, [[2 * 0.16], [2 * 0.0016]])
    np.testing.assert_allclose(corrector_size(score, z, 0.16, 0.5), eps / 2)
    over = corrector_size(score, z, 0.16, over_batch=True)
    np.testing.assert_allclose(over, [[2 * 0.16**2]])  # both means are 3
    with pytest.raises(ValueError, match="score must not be zero"):
        corrector_size(0 * score, z, 0.16)
    with pytest.raises(ValueError, match=r"must be \(n, d\)"):
        corrector_size(score[0], z[0], 0.16)
    with pytest.raises(ValueError, match="r must be"):
        corrector_size(score, z, 0.0)


def test_a_step_with_songs_size_is_no_affine_step():
    """It has no table: at the probe's origin it has no size, elsewhere it bends."""

    def step(x, z, model, lift):
        score = model(x, SCHED.level(5)) + lift
        return x + corrector_size(score, z, 0.1) * score

    for lift, match in ((0.0, "score must not be zero"), (1.0, "not affine")):
        with pytest.raises(ValueError, match=match):
            tabulate([lambda x, z, model, lift=lift: step(x, z, model, lift)])


@pytest.mark.law
def test_song_samples_have_too_much_variance_unless_sized_by_the_batch():
    """Data N(1.5, 0.25) in 8 dimensions, 60 levels: 0.33 by rows, 0.246 by the batch.

    The exact law with fixed steps of the same mean size 2 r^2 noise^2 has 0.236; by rows
    more levels make it worse. And the first steps are the loop, draw for draw.
    """
    d, n, r = 8, 20_000, 0.1
    law = Mixture(np.ones(1), np.full((1, d), 1.5), 0.25 * np.eye(d)[None])
    predictor = ve_predictor(langevin.ladder(0.05, 5.0, 60), smld_ancestral_step)
    start, found = 5.0 * np.random.default_rng(1).standard_normal((n, d)), {}
    for over_batch in (True, False):
        rng = np.random.default_rng(2)
        *states, end = pc_sample(predictor, start, law.model, 1, r, rng, over_batch)
        assert len(states) == 59
        np.testing.assert_array_equal(states[0], start)
        assert np.abs(end.mean(axis=0) - 1.5).max() < 0.03
        found[over_batch] = end.var()
    table = pc_chain(predictor, 1, 2 * r**2)
    _, covs = table.law(law.mean, law.cov, np.zeros(d), 25 * np.eye(d))
    assert covs[-1, 0, 0] == pytest.approx(0.2363, abs=5e-5)
    error = 5 * 0.25 * np.sqrt(2 / (n * d))
    assert found[True] == pytest.approx(0.2463, abs=error)
    assert found[False] > 0.32
    rng, x = np.random.default_rng(2), start
    now, then = predictor.levels[:2]
    x = predictor.step(0, x, law.model(x, now), rng.standard_normal(x.shape))
    score, z = law.model(x, then), rng.standard_normal(x.shape)
    eps = 2 * (0.1 * np.linalg.norm(z, axis=1) / np.linalg.norm(score, axis=1)) ** 2
    x = x + eps[:, None] * score + np.sqrt(2 * eps)[:, None] * z
    np.testing.assert_allclose(states[1], x, rtol=1e-12)


def test_song_samples_on_vp_take_alpha_bar_and_stop_at_no_noise():
    sched = schedule.constant(3, 0.5)
    law, x = toys.example_2_1(), np.array([[0.3], [-1.0]])
    seen = []

    def model(x, level):
        seen.append(level.t)
        return law.model(x, level)

    path = list(
        pc_sample(vp_predictor(sched), x, model, 2, 0.1, np.random.default_rng(0))
    )
    assert len(path) == 4
    assert seen == [3, 2, 2, 2, 1, 1, 1]
    rng = np.random.default_rng(0)
    x = reverse_step(
        x, 3, law.model(x, sched.level(3)), rng.standard_normal(x.shape), sched
    )
    for _ in range(2):
        score, z = law.model(x, sched.level(2)), rng.standard_normal(x.shape)
        eps = corrector_size(score, z, 0.1, 0.25)
        x = x + eps * score + np.sqrt(2 * eps) * z
    np.testing.assert_allclose(path[1], x, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ve_predictor([1.0, 0.5]), "sigma must be"),
        (lambda: ve_predictor([-0.1, 0.5]), "sigma must be"),
        (lambda: ve_predictor([0.5]), "sigma must be"),
        (lambda: smld_forward_step(np.ones(1), 0, np.ones(1), SIGMA), "i must be"),
        (
            lambda: smld_reverse_step(*[np.ones(1), 12] + [np.ones(1)] * 2, SIGMA),
            "i must",
        ),
        (lambda: pc_chain(vp_predictor(SCHED), -1), "corrections must be"),
        (lambda: pc_chain(vp_predictor(SCHED), 1, 0.0), "size must be"),
        (lambda: pc_chain(vp_predictor(SCHED), 1, 2.0), "size must be"),
        (
            lambda: reverse_step(np.ones(1), 0, np.ones(1), np.ones(1), SCHED),
            "t must be",
        ),
        (
            lambda: reverse_diffusion_step(
                np.ones(1), 1, np.array([np.nan]), np.ones(1), SCHED
            ),
            "score must be finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_generator_is_asked_for_by_name():
    with pytest.raises(TypeError, match="rng"):
        pc_sample(vp_predictor(SCHED), np.ones((1, 1)), None, 1, 0.1, 5)
    assert isinstance(vp_predictor(SCHED), Predictor)
