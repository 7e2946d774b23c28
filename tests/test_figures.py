"""The figures run in small, and what they return is what their docstrings say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from refdiff import tour
from refdiff.data import load_data

FIGURES = Path(__file__).resolve().parent.parent / "figures"


def figure(name):
    """Return the main function of the one script whose name starts so."""
    (script,) = FIGURES.glob(f"{name}*.py")
    return runpy.run_path(str(script))["main"]


def test_every_figure_has_its_picture_small_enough_to_commit():
    scripts = sorted(FIGURES.glob("fig_*.py"))
    assert scripts
    for script in scripts:
        picture = script.with_suffix(".png")
        assert 5_000 < picture.stat().st_size < 200_000, picture.name
        assert len(script.read_text().splitlines()) <= 60


@pytest.mark.law
def test_figure_2_13_shows_one_schedule_within_the_band_and_one_outside(tmp_path):
    out = tmp_path / "x.png"
    curves, band = figure("fig_2_13")(out, n=20_000)
    (_, error, fine), (_, _, coarse) = curves.values()
    assert fine < band < coarse
    assert np.abs(error).max() == fine
    assert abs(error[0]) < 1e-2
    assert abs(error[-1]) < 1e-2
    assert out.stat().st_size > 5_000


def test_figure_0_01_draws_a_short_run(tmp_path):
    out = tmp_path / "x.png"
    result = figure("fig_0_01")(out, steps=50, n=200)
    assert [run.model for run in result.runs] == ["learned", "exact"]
    assert out.stat().st_size > 5_000


@pytest.mark.law
def test_the_tour_learns_two_moons_to_three_noise_floors():
    """The promise of the first screen, on one seed; tests/bench/quality.py has five."""
    settings = tour.Settings()
    data = load_data("moons", settings.rng(0))
    *_, state = tour.training(settings, data)
    learned, exact = (result := tour.compare(settings, data, state.ema)).runs
    assert learned.w2 <= 3 * result.w2_floor
    assert exact.w2 <= 2 * result.w2_floor
    assert learned.energy <= 3 * result.energy_floor


@pytest.mark.control
def test_an_untrained_network_is_many_noise_floors_away():
    settings = tour.Settings(steps=20, T=20)
    data = load_data("moons", settings.rng(0))
    *_, state = tour.training(settings, data)
    result = tour.compare(settings, data, state.ema, 2000)
    assert result.runs[0].w2 > 10 * result.w2_floor
