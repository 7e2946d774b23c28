"""The tour's numbers: what it trains on, what it compares, and both bounds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support import ALPHA

from refdiff import (
    ddpm,
    losses,
    matching,
    metrics,
    plots,
    results,
    schedule,
    tour,
    tour_ncsn,
    tour_vae,
)
from refdiff.autoencoder import VAE
from refdiff.data import load_data
from refdiff.forward import q_sample
from refdiff.targets import ask, eps_model

SHORT = tour.Settings(T=10, steps=200, batch=64)


def data_of(settings):
    return load_data(settings.data, settings.rng(0))


def result_of(settings, params):
    found = data_of(settings)
    return found, tour.compare(settings, found, params, 400)


def by_hand(sched, model, noise):
    """The last state of the ancestral chain, and nothing of `tour.compare`."""
    start = noise.standard_normal((400, 2))
    *_, x = ddpm.ddpm_chain(sched).run(start, model, rng=noise)
    return x


def test_both_models_run_the_same_chain_from_the_same_noise():
    """The exact row, and the learned row of a network that says eps = 0, by hand."""
    settings = tour.Settings(T=8)
    zero = np.zeros(tour.MLP(2, 8).size, np.float32)
    found, result = result_of(settings, zero)
    models = (eps_model(lambda x, t: 0 * x), found.exact.model)
    for run, model in zip(result.runs, models, strict=True):
        x = by_hand(schedule.cosine(8), model, settings.rng(2))
        np.testing.assert_allclose(run.samples, x, rtol=1e-12)
        assert run.bound == tour.bound(settings, found, model)
    learned, exact = result.runs
    assert learned.w2 > 3 * exact.w2 > 0
    assert learned.energy > 3 * exact.energy > 0


def test_each_distance_stands_beside_its_own_floor(monkeypatch):
    monkeypatch.setattr(results, "METRICS", (lambda a, b: 1.0, lambda a, b: 2.0))
    _, result = result_of(tour.Settings(T=4), np.zeros(tour.MLP(2, 4).size, np.float32))
    assert (result.w2_floor, result.energy_floor) == (1.0, 2.0)
    assert {(run.w2, run.energy) for run in result.runs} == {(1.0, 2.0)}
    run = tour.Run("s", "m", 7, 0.1, None, None, 2.0, 3.0, (-4.5, 0.25))
    lines = results.report(tour.Result([run], 1.0, 6.0, -2.125)).splitlines()
    row = "s m 7 0.1 2.0000 1.0000 2.0 3.0000 6.0000 0.5"
    assert lines[2].split() == row.split()
    assert lines[3:] == [
        "",
        "log-likelihood of fresh data     -2.125 nats",
        "bound, m                         -4.500 nats, +-0.250",
    ]
    unknown = results.report(tour.Result([run], 1.0, 6.0, None)).splitlines()
    assert unknown == lines[:4] + lines[5:]


def test_the_streams_of_a_seed_are_apart():
    numbers = {tour.Settings(seed=s).rng(k).random() for s in (0, 1) for k in range(6)}
    assert len(numbers) == 12


@pytest.mark.parametrize(("target", "weight"), [("eps", "snr"), ("v", "simple")])
def test_training_sees_fresh_data_all_times_and_unit_noise(monkeypatch, target, weight):
    """What reaches the loss: the cosine schedule, t in 1..T, new batches, eps ~ N(0, I)."""
    seen = []

    def spy(params, net, x0, t, eps, sched, y, weighting):
        seen.append((x0, t, eps))
        assert y.name == target
        assert weighting is {"snr": losses.weight_snr, "simple": None}[weight]
        np.testing.assert_array_equal(sched.beta, schedule.cosine(5).beta)
        return 1.0, np.zeros_like(params)

    monkeypatch.setattr(tour.losses, "loss", spy)
    settings = tour.Settings(T=5, steps=40, target=target, weight=weight)
    list(tour.training(settings, data_of(settings)))
    x0, t, eps = (list(column) for column in zip(*seen, strict=True))
    assert len({batch.tobytes() for batch in x0}) == 40
    assert set(np.concatenate(t)) == {1, 2, 3, 4, 5}
    assert np.concatenate(eps).std() == pytest.approx(1, abs=0.03)


def test_a_vae_is_trained_on_fresh_data_and_unit_noise(monkeypatch):
    seen = []

    def spy(net, params, x, eps):
        seen.append((x, eps))
        return 1.0, np.zeros_like(params)

    monkeypatch.setattr(VAE, "loss", spy)
    settings = tour.Settings(model="vae", steps=40)
    states = list(tour_vae.training(settings, data_of(settings)))
    x, eps = (list(column) for column in zip(*seen, strict=True))
    assert len(states) == len({batch.tobytes() for batch in x}) == 40
    assert len({batch.tobytes() for batch in eps}) == 40
    assert eps[0].shape == (256, 2)
    assert np.concatenate(eps).std() == pytest.approx(1, abs=0.03)


def test_the_learning_rate_of_the_tour_has_decayed_when_it_ends(monkeypatch):
    rates = []

    def fit(loss_grad, state, *, lr):
        rates.append([lr(1), lr(20), lr(41)])
        return iter(())

    monkeypatch.setattr(tour.train, "fit", fit)
    settings = tour.Settings(T=5, steps=40, lr=0.01)
    for kind in (tour, tour_vae):
        list(kind.training(settings, data_of(settings)))
    assert rates[0] == rates[1]
    assert rates[0][0] == 0.01
    assert rates[0][0] > rates[0][1] > rates[0][2] == 0


def excess(settings, data, params, read_as=None):
    """How much more than the exact model the network loses, by the setting's weight."""
    sched, rng, total = schedule.cosine(settings.T), np.random.default_rng(9), 0.0
    target, weight = tour.TARGETS[settings.target], tour.WEIGHTS[settings.weight]
    learned = tour.learned_model(read_as or settings, data, params)
    for t in range(1, settings.T + 1):
        x0, eps = data.draw(1000, rng), rng.standard_normal((1000, 2))
        xt = q_sample(x0, t, eps, sched)
        a, b = (ask(m, xt, t, sched, target) for m in (learned, data.exact.model))
        error2 = ((a - b) ** 2).sum(axis=1).mean()
        total += losses.target_weight(target, weight, t, sched)[0] * error2
    return total


@pytest.mark.parametrize(
    ("target", "weight", "left"),
    [
        *((target, "x0", 0.5) for target in ("v", "mean")),
        *((target, "snr", 0.5) for target in ("eps", "score")),
        *(("x0", weight, 0.05) for weight in tour.WEIGHTS),
    ],
)
def test_every_target_and_weight_trains_towards_the_exact_model(target, weight, left):
    """200 steps leave a part of the loss above its floor; the bound stays the lower one."""
    settings = replace(SHORT, target=target, weight=weight)
    data = data_of(settings)
    *_, state = tour.training(settings, data)
    fresh = tour.network(settings, data).init(settings.rng(1), np.float32)
    reached = excess(settings, data, state.ema)
    assert reached < left * excess(settings, data, fresh)
    other = replace(settings, target="x0" if target == "v" else "v")  # the control
    assert excess(settings, data, state.ema, other) > 2 * reached
    models = tour.learned_model(settings, data, state.ema), data.exact.model
    (learned, spread), (exact, error) = (tour.bound(settings, data, m) for m in models)
    assert learned < exact + 5 * np.hypot(spread, error)


@pytest.mark.limit
@pytest.mark.parametrize("name", ["rings", "ex-2.1"])
def test_the_exact_bound_rises_with_the_steps_and_stays_below_the_log_likelihood(name):
    """By half of Euler's constant a dimension, at least: steps of one size lose it."""
    settings = tour.Settings(name)
    data = data_of(settings)
    few, more = (
        tour.bound(replace(settings, T=T), data, data.exact.model) for T in (20, 200)
    )
    assert more[0] > few[0]
    points = data.draw(tour.POINTS, settings.rng(5))
    ceiling = data.exact.logpdf(points).mean() - data.exact.d * np.euler_gamma / 2
    for bound, error in (few, more):
        assert bound < ceiling + 5 * error
    assert ceiling - more[0] < 0.8 * (ceiling - few[0])


@pytest.mark.law
@pytest.mark.parametrize("kind", [tour, tour_vae])
def test_the_standard_error_of_a_bound_is_how_far_it_moves_with_the_seed(kind):
    settings = tour.Settings("ex-2.1", T=5)
    data, found = data_of(settings), []
    params = tour_vae.network(settings, data).init(settings.rng(1), np.float32)
    who = data.exact.model if kind is tour else params
    n = 200 if kind is tour else 40
    for seed in range(n):
        found.append(kind.bound(replace(settings, seed=seed), data, who))
    bound, error = np.array(found).T
    moved = (((bound - bound.mean()) / error.mean()) ** 2).sum()
    assert ALPHA < stats.chi2.cdf(moved, n - 1) < 1 - ALPHA
    assert error.mean() > 0
    for wrong in (2, 0.5):  # the control, on 40 seeds or more
        assert not 0.001 < stats.chi2.cdf(moved / wrong**2, n - 1) < 0.999


@pytest.mark.oracle
@pytest.mark.parametrize("kind", [tour, tour_vae])
def test_the_log_likelihood_is_the_datas_own_or_absent(kind, tmp_path):
    """Against quadrature; a user's points have no density, and no line of truth."""
    settings = tour.Settings("ex-2.1", T=4)
    points = np.random.default_rng(0).standard_normal((300, 2))
    np.save(tmp_path / "points.npy", points)
    for name in ("ex-2.1", str(tmp_path / "points.npy")):
        data = load_data(name, settings.rng(0))
        params = kind.network(settings, data).init(settings.rng(1), np.float32)
        result = kind.compare(settings, data, params, 100)
        lines = results.report(result).splitlines()
        known = [line for line in lines if line.startswith("log-likelihood")]
        bounds = [line.split("  ")[0] for line in lines if line.startswith("bound, ")]
        of_all = [f"bound, {run.model}" for run in result.runs]
        if name != "ex-2.1":
            assert result.log_likelihood is None
            assert known == []
            assert bounds == of_all[:1]  # the exact model of the points knows them
            continue
        assert bounds == of_all
        values = data.exact.logpdf(data.draw(tour.POINTS, settings.rng(5)))
        assert result.log_likelihood == values.mean()
        error = values.std() / np.sqrt(tour.POINTS)
        far = result.log_likelihood - metrics.expected_logpdf(data.exact)
        assert abs(far) < 5 * error
        (line,) = known
        assert float(line.split()[-2]) == pytest.approx(values.mean(), abs=5e-4)


def test_a_vaes_samples_and_bound_by_hand():
    """Its samples from the stream of noise; its bound from the loss it was trained on."""
    settings = tour.Settings(model="vae", steps=100)
    data = data_of(settings)
    *_, state = tour_vae.training(settings, data)
    (run,) = tour_vae.compare(settings, data, state.ema, 400).runs
    net, noise = tour_vae.network(settings, data), settings.rng(2)
    z, eps = noise.standard_normal((2, 400, 2))
    np.testing.assert_array_equal(run.samples, net.sample(state.ema, z, eps))
    assert (run.model, run.evaluations) == ("VAE", 1)
    rng = settings.rng(5)
    x = data.draw(tour.POINTS, rng)
    eps = rng.standard_normal((tour_vae.DRAWS, len(x), 2))
    minus = [net.loss(state.ema, x, draw)[0] for draw in eps]
    assert run.bound[0] == pytest.approx(-np.mean(minus), rel=1e-5)


@pytest.mark.identity
def test_each_name_of_a_weight_is_its_weighting():
    """By the formula of its name, for the error of x0; and each target has its own."""
    sched, t = schedule.cosine(50), np.arange(2, 51)
    snr = sched.alpha_bar[t] / (1 - sched.alpha_bar[t])
    fall = (sched.alpha_bar / sched.noise2.clip(1e-300))[t - 1] - snr
    named = {"snr": snr, "x0": 1 + 0 * snr, "snr+1": snr + 1, "bound": fall / 2}
    named |= {"truncated-snr": np.maximum(snr, 1), "min-snr": np.minimum(snr, 5)}
    assert tour.WEIGHTS.keys() - named.keys() == {"simple"}
    assert tour.WEIGHTS["simple"] is None
    for name, want in named.items():
        np.testing.assert_allclose(tour.WEIGHTS[name](t, sched)[:, 0], want, rtol=1e-9)
    own = {name: tour.Settings(target=name).weighting for name in tour.TARGETS}
    simple = dict.fromkeys(["eps", "x0", "v"], "simple")
    assert own == simple | {"score": "snr", "mean": "snr"}


def test_a_distance_is_the_median_of_five(monkeypatch):
    values = iter([5.0, 1.0, 4.0, 2.0, 3.0])
    monkeypatch.setattr(results, "METRICS", (lambda a, b: next(values),))
    assert results.distances(None, lambda: None) == [3.0]


def test_the_pictures_are_handed_what_their_titles_say(monkeypatch, tmp_path):
    """The forward panels' moments, the score's sign, the samples, the codes."""
    clouds, fields = {}, []
    plain = plots.cloud

    def cloud(ax, x, title, color, box, law=None):
        clouds[title] = x
        plain(ax, x, title, color, box, law)

    monkeypatch.setattr(plots, "cloud", cloud)
    monkeypatch.setattr(
        plots, "field", lambda ax, score, law, *a: fields.append((score, law))
    )
    settings = tour.Settings(T=20, target="x0")
    data = load_data("moons", settings.rng(0))
    params = np.zeros(tour.network(settings, data).size, np.float32)  # x0_hat = 0
    found = tour.compare(settings, data, params, 300)
    tour.picture(settings, data, params, found, tmp_path / "a.png")
    sched = schedule.cosine(20)
    for t in (4, 10, 20):
        x = clouds[f"forward process, t = {t}"]
        want = sched.alpha_bar[t] * data.exact.cov + sched.noise2[t] * np.eye(2)
        np.testing.assert_allclose(np.cov(x.T), want, atol=0.05)
    ((score, law),) = fields
    point = np.array([[0.5, -1.0]])
    np.testing.assert_allclose(score(point), -point / sched.noise2[4], rtol=1e-5)
    want = data.exact.noised(sched.signal[4], sched.noise[4])
    np.testing.assert_array_equal(law.means, want.means)
    ratio = found.runs[0].w2 / found.w2_floor
    np.testing.assert_array_equal(
        clouds[f"learned model: {ratio:.1f} noise floors"], found.runs[0].samples
    )


@pytest.mark.law
def test_a_score_network_learns_and_annealed_langevin_finds_every_mode():
    """1500 steps on eight Gaussians: a sampler within four floors, all modes filled."""
    settings = tour.Settings(data="eight-gaussians", model="ncsn", steps=1500)
    data = load_data(settings.data, settings.rng(0))
    *_, state = tour_ncsn.training(settings, data)
    found = tour_ncsn.compare(settings, data, state.ema, 4000)
    learned, exact = found.runs
    assert learned.w2 < 4 * found.w2_floor
    assert exact.w2 < 3 * found.w2_floor
    weights = metrics.mode_weights(learned.samples, data.exact)
    assert np.abs(weights - 1 / 8).max() < 0.05
    zero = np.zeros_like(state.ema)
    blank = tour_ncsn.compare(settings, data, zero, 500)
    assert blank.runs[0].w2 > 10 * blank.w2_floor  # a network of zeros: pure noise


@pytest.mark.oracle
def test_the_excess_of_the_score_loss_is_that_of_denoising_score_matching():
    """Reported excess + least = the loss itself, estimated on other draws."""
    settings = tour.Settings(data="moons", model="ncsn")
    data = load_data("moons", settings.rng(0))
    net = tour_ncsn.network(settings, data)
    rng = np.random.default_rng(1)
    params = net.init(rng)
    params += 0.05 * rng.standard_normal(net.size)
    model = tour_ncsn.learned_model(settings, data, params)
    words = tour_ncsn.score_error(settings, data, model).replace(",", "").split()
    excess, least = float(words[2]), float(words[-1])
    losses_ = []
    for i in range(1, len(tour_ncsn.SIGMA) + 1):
        x0, z = data.draw(4000, rng), rng.standard_normal((4000, 2))
        at = np.full(4000, i)
        losses_.append(matching.ncsn_loss(params, net, x0, z, at, tour_ncsn.SIGMA)[0])
    assert excess + least == pytest.approx(np.mean(losses_), rel=0.05)
    exact = tour_ncsn.score_error(settings, data, data.exact.model)
    assert float(exact.replace(",", "").split()[2]) < 1e-4


def test_every_level_is_trained_and_sampling_begins_at_the_largest(monkeypatch):
    """Levels 1..20 reach the loss; the exact run has the exact score, from sigma = 5."""
    seen, plain = set(), matching.ncsn_loss

    def spy(params, net, x0, z, i, sigma):
        seen.update(i.tolist())
        return plain(params, net, x0, z, i, sigma)

    monkeypatch.setattr(matching, "ncsn_loss", spy)
    settings = tour.Settings(model="ncsn", steps=5)
    data = load_data("moons", settings.rng(0))
    *_, state = tour_ncsn.training(settings, data)
    assert seen == set(range(1, 21))
    assert pytest.approx(0.4 * tour_ncsn.SIGMA[0] ** 2) == tour_ncsn.EPS
    found = tour_ncsn.compare(settings, data, state.ema, 500)
    learned, exact = found.runs
    assert learned.path[0].std() == pytest.approx(5, rel=0.3)
    assert exact.w2 < 4 * found.w2_floor < learned.w2
