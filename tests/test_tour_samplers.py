"""The tour of all samplers: one network at all times, and honest counts."""

from dataclasses import replace

import numpy as np
import pytest

from refdiff import (
    metrics,
    plots,
    reversal,
    samplers,
    schedule,
    sde,
    tour,
    tour_samplers,
)
from refdiff.data import load_data
from refdiff.net import MLP
from refdiff.schedule import Level
from refdiff.targets import score_from_eps

SMALL = tour.Settings(T=10)
DATA = load_data("moons", SMALL.rng(0))


def some_params(seed=0):
    """Parameters of a network that is trained on nothing and says something."""
    net, rng = tour.network(SMALL, DATA), np.random.default_rng(seed)
    return net.init(rng) + 0.05 * rng.standard_normal(net.size)


@pytest.fixture
def few(monkeypatch):
    """Budgets of a test."""
    monkeypatch.setattr(tour_samplers, "BUDGETS", (8, 13))


@pytest.mark.identity
@pytest.mark.parametrize("T", [10, 100, 1000])
def test_the_process_of_the_tour_has_the_marginals_of_its_schedule(T):
    sched, process = schedule.cosine(T), tour_samplers.process()
    t = np.arange(1, T)
    t = t[t / T <= process.T]
    signal, noise = process.marginal(t / T)
    np.testing.assert_allclose(signal, sched.signal[t], rtol=1e-14)
    np.testing.assert_allclose(noise, sched.noise[t], rtol=1e-14)
    # The last step is capped, so the table does not go on as the process does.
    late = sde.cosine_beta(T=1 - 1e-9).B(0.0, 1 - 1e-9)
    assert np.exp(-late / 2) < 0.01 * sched.signal[T]


@pytest.mark.identity
@pytest.mark.parametrize("target", tour_samplers.FORMS)
def test_the_continuous_model_is_the_discrete_one_at_whole_times(target):
    settings, params = replace(SMALL, target=target), some_params()
    here = tour_samplers.continuous_model(settings, DATA, params)
    there = tour.learned_model(settings, DATA, params)
    process, sched = tour_samplers.process(), schedule.cosine(settings.T)
    x = np.random.default_rng(1).standard_normal((20, 2))
    for t in range(1, settings.T):
        got, want = here(x, process.level(t / settings.T)), there(x, sched.level(t))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    level = process.level(0.55)  # between the times: neither of its neighbours
    for t in (5, 6):
        assert (
            np.abs(here(x, level) - there(x, Level(*level[:2], float(t)))).max() > 1e-3
        )


def by_hand(sampler, budget, model, n):
    """The samples of one run, and nothing of `compare`."""
    process = sde.vp(sde.cosine_beta(T=0.99))
    grid = reversal.snr_grid(process, (budget - 1) // sampler.evaluations, 0.1)
    noise = SMALL.rng(2)
    start = noise.standard_normal((n, 2))
    *_, x = samplers.denoised(sampler, process, grid).run(start, model, rng=noise)
    return x


def test_both_models_run_every_sampler_from_the_same_noise(few):
    """The exact rows, and those of a network that says eps = 0, by hand."""
    zero = np.zeros(tour.network(SMALL, DATA).size, np.float32)
    study = tour_samplers.compare(SMALL, DATA, zero, 100)
    models = {
        "learned": lambda x, level: score_from_eps(x, 0 * x, level.signal, level.noise),
        "exact": DATA.exact.model,
    }
    known = {sampler.name: sampler for sampler in samplers.SAMPLERS}
    rng = SMALL.rng(3)
    fresh = [DATA.draw(100, rng) for _ in range(5)]
    pairs = [(DATA.draw(100, rng), DATA.draw(100, rng)) for _ in range(20)]
    assert study.floor == np.median([metrics.sliced_w2(a, b) for a, b in pairs])
    for run in study.runs:
        want = by_hand(known[run.sampler], run.budget, models[run.model], 100)
        np.testing.assert_array_equal(run.samples, want)
        far = np.median([metrics.sliced_w2(want, y) for y in fresh])
        assert run.ratio == pytest.approx(far / study.floor, rel=1e-12)
    # Every sampler is there with every budget, but RK4 with 8: one step is too few.
    assert len(study.runs) == 2 * (2 * len(samplers.SAMPLERS) - 1)
    assert ("RK4", "learned", 8) not in {run[:3] for run in study.runs}


def test_the_counts_of_evaluations_are_those_of_the_network(few, monkeypatch):
    calls, plain = [], MLP.predict

    def spy(net, params, x, t):
        calls.append(t)
        return plain(net, params, x, t)

    monkeypatch.setattr(MLP, "predict", spy)
    study = tour_samplers.compare(SMALL, DATA, some_params(), 100)
    learned = [run for run in study.runs if run.model == "learned"]
    asks = {sampler.name: sampler.evaluations for sampler in samplers.SAMPLERS}
    for run in learned:
        mine, calls = calls[: run.evaluations], calls[run.evaluations :]
        # A run begins at the process's T and ends with the one step from 1/T.
        assert mine[0] == pytest.approx(9.9, rel=1e-12)
        assert mine[-1] == pytest.approx(1.0, rel=1e-12)
        assert run.budget - asks[run.sampler] < run.evaluations <= run.budget
    assert calls == []


def test_the_table_says_what_was_found(few):
    study = tour_samplers.compare(SMALL, DATA, some_params(), 100)
    lines = tour_samplers.report(study).splitlines()
    found = {run[:3]: run for run in study.runs}
    assert "100 points" in lines[0]
    head = lines[3].split()
    assert head == ["sampler", "/step", "8", "13", "8", "13"]
    rows = lines[4 : 4 + len(samplers.SAMPLERS)]
    for sampler, row in zip(samplers.SAMPLERS, rows, strict=True):
        assert row.startswith(sampler.name)
        asks, *cells = row[20:].split()
        assert int(asks) == sampler.evaluations
        keys = [(sampler.name, m, b) for m in ("learned", "exact") for b in (8, 13)]
        for key, cell in zip(keys, cells, strict=True):
            if key not in found:
                assert cell == "-"
                continue
            ratio = found[key].ratio
            assert float(cell) == pytest.approx(ratio, abs=0.5 if ratio > 99 else 0.051)
    assert len({len(line) for line in [lines[3], *rows]}) == 1
    assert max(map(len, lines)) <= 96
    assert f": {study.best.sampler}, {study.best.evaluations} ev" in lines[-1]


def test_the_best_run_is_the_cheapest_learned_one_at_the_floor():
    def trial(name, model, evaluations, ratio):
        return tour_samplers.Trial(name, model, 128, evaluations, None, ratio)

    runs = [
        trial("exact", "exact", 8, 0.5),
        trial("far", "learned", 8, 1.3),
        trial("dear", "learned", 32, 0.6),
        trial("cheap", "learned", 16, 0.9),
        trial("farther", "learned", 4, 1.4),
    ]
    assert tour_samplers.Study(runs, 1.0).best.sampler == "cheap"
    assert tour_samplers.Study(runs[:2] + runs[4:], 1.0).best.sampler == "far"


def test_the_mean_a_vae_and_a_score_network_are_refused_by_name():
    with pytest.raises(ValueError, match="target mean .* no continuous form"):
        tour_samplers.continuous_model(replace(SMALL, target="mean"), DATA, None)
    for model in ("vae", "ncsn"):
        for sampler in ("all", "ancestral"):
            with pytest.raises(ValueError, match=f"no meaning for --model {model}"):
                tour_samplers.check(replace(SMALL, model=model), sampler)
    for target in tour.TARGETS:  # the ancestral sampler has any target
        tour_samplers.check(replace(SMALL, target=target), "ancestral")


def test_points_are_fewer_where_the_exact_model_is_dear(few, monkeypatch):
    params, told = some_params(), []
    monkeypatch.setattr(tour_samplers, "BUDGETS", (9,))
    monkeypatch.setattr(tour_samplers, "POINTS", 70)
    study = tour_samplers.compare(SMALL, DATA, params, 100, told.append)
    assert len(study.best.samples) == 70
    monkeypatch.setattr(tour_samplers, "WORK", 60 * len(DATA.exact.weights))
    study = tour_samplers.compare(SMALL, DATA, params, 100)
    assert {len(run.samples) for run in study.runs} == {60}
    assert told[0] == "Euler (1 of 13)"
    assert len(told) == len(samplers.SAMPLERS)


@pytest.mark.parametrize("name", ["moons", "ex-2.1"])
def test_the_picture_draws_the_curves_and_the_samples(name, few, monkeypatch, tmp_path):
    figures, clouds, cloud, save = [], {}, plots.cloud, plots.save

    def spy(ax, x, title, *rest):
        clouds[title] = x
        cloud(ax, x, title, *rest)

    monkeypatch.setattr(plots, "cloud", spy)
    monkeypatch.setattr(
        plots, "save", lambda fig, path: (figures.append(fig), save(fig, path))
    )
    data = load_data(name, SMALL.rng(0))
    params = np.zeros(tour.network(SMALL, data).size, np.float32)
    study = tour_samplers.compare(SMALL, data, params, 100)
    tour_samplers.picture(SMALL, data, params, study, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for ax, model in zip(figures[0].axes, ("learned", "exact"), strict=False):
        assert ax.get_title().startswith(model)
        assert ax.get_xscale() == ax.get_yscale() == "log"
        curves = {line.get_label(): line for line in ax.get_lines()[1:]}
        assert list(curves) == [sampler.name for sampler in samplers.SAMPLERS]
        assert len({line.get_color() for line in curves.values()}) == len(curves)
        for label, line in curves.items():
            runs = [r for r in study.runs if (r.sampler, r.model) == (label, model)]
            want = [[r.evaluations, r.ratio] for r in runs]
            np.testing.assert_array_equal(line.get_xydata(), want)
    found = {run[:3]: run for run in study.runs}
    assert len(clouds) == 3
    for title, x in clouds.items():
        run = found[title.split(", ")[0], "learned", 8]
        assert title.endswith(f"{run.evaluations} evals: {run.ratio:.1f} floors")
        np.testing.assert_array_equal(x, run.samples)


@pytest.mark.law
@pytest.mark.parametrize("target", tour_samplers.FORMS)
def test_one_learned_score_serves_every_sampler(target, monkeypatch):
    """400 steps, 64 evaluations; the network read as another target is the control."""
    monkeypatch.setattr(tour_samplers, "BUDGETS", (64,))
    settings = replace(SMALL, target=target, steps=400, T=100)
    *_, state = tour.training(settings, DATA)
    study = tour_samplers.compare(settings, DATA, state.ema, 500)
    other = replace(settings, target="x0" if target == "v" else "v")
    wrong = tour_samplers.compare(other, DATA, state.ema, 500)
    for run, foil in zip(study.runs, wrong.runs, strict=True):
        assert run.ratio < 3.3
        if run.model == "learned":
            assert foil.ratio > 1.8 * run.ratio


def trial(name, model, budget, evaluations, ratio):
    return tour_samplers.Trial(
        name, model, budget, evaluations, np.zeros((7, 2)), ratio
    )


def test_of_runs_as_dear_and_at_the_floor_the_nearest_is_best():
    runs = [
        trial(n, "learned", 8, 8, r) for n, r in (("a", 0.9), ("b", 0.7), ("c", 0.8))
    ]
    assert tour_samplers.Study(runs, 1.0).best.sampler == "b"


def test_the_last_lines_of_the_table_give_the_floor_and_the_price():
    runs = [
        trial("Euler", "learned", 8, 8, 1.26),
        trial("Heun", "learned", 8, 7, 123.4),
    ]
    lines = tour_samplers.report(tour_samplers.Study(runs, 0.05678)).splitlines()
    assert "floor (0.0568)" in lines[-3]
    assert lines[-1].endswith("Euler, 8 evaluations, 1.3 floors")
    assert lines[5].split()[2] == "123"  # t7


def test_the_budgets_and_sizes_of_the_tour():
    assert tour_samplers.BUDGETS == tuple(8 * 2**k for k in range(5))
    assert (tour_samplers.POINTS, tour_samplers.WORK) == (4000, 250_000)


def test_random_samplers_are_dashed_and_the_floor_is_at_1(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(plots, "save", lambda fig, path: figures.append(fig))
    monkeypatch.setattr(tour_samplers, "BUDGETS", (8,))
    params = np.zeros(tour.network(SMALL, DATA).size, np.float32)
    study = tour_samplers.compare(SMALL, DATA, params, 50)
    tour_samplers.picture(SMALL, DATA, params, study, tmp_path / "a.png")
    random = {s.name: s.random for s in samplers.SAMPLERS}
    for ax in figures[0].axes[:2]:
        floor, *curves = ax.get_lines()
        assert set(floor.get_ydata()) == {1}
        assert ax.get_ylim() == (0.4, 30)
        assert {c.get_label(): c.get_linestyle() == "--" for c in curves} == random
    legend = figures[0].axes[2].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(random)
    shown = [ax.get_title().split(", ")[0] for ax in figures[0].axes[3:]]
    assert shown == ["ancestral", "DDIM", "DPM-Solver++(2M)"]


def test_a_density_is_drawn_behind_the_clouds(monkeypatch, tmp_path):
    data, drawn = load_data("ex-2.1", SMALL.rng(0)), []
    monkeypatch.setattr(plots, "cloud", lambda *args: drawn.append(args[-1]))
    monkeypatch.setattr(plots, "save", lambda fig, path: None)
    monkeypatch.setattr(tour_samplers, "BUDGETS", (8,))
    params = np.zeros(tour.network(SMALL, data).size, np.float32)
    study = tour_samplers.compare(SMALL, data, params, 50)
    tour_samplers.picture(SMALL, data, params, study, tmp_path / "a.png")
    assert len(drawn) == 3
    assert all(law is data.exact for law in drawn)
