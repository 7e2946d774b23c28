"""The command line and the tour, run in small as a user runs them in large."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refdiff import cite, cli, ddpm, plots, schedule, tour
from refdiff.data import load_data
from refdiff.targets import eps_model
from refdiff.toys import TOYS

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--steps", "60", "--samples", "200", "--T", "10", "--quiet"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run every test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    """Run the installed command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "refdiff", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("data", ["moons", "ex-2.1"])
def test_tour_prints_the_table_and_writes_the_picture(data, elsewhere, capsys):
    assert cli.main(["--data", data, *SMALL]) == 0
    out, err = capsys.readouterr()
    rows = [line for line in out.splitlines() if line.startswith("ancestral")]
    assert [row.split()[2] for row in rows] == ["learned", "exact"]
    assert all(row.split()[3] == "10" for row in rows)
    assert err == ""
    assert (elsewhere / "refdiff-tour.png").read_bytes().startswith(b"\x89PNG")
    assert os.listdir() == ["refdiff-tour.png"]  # no temporary file is left


def rows(out):
    """The table's rows without the seconds, which are its fifth column."""
    lines = [line.split() for line in out.splitlines() if line.startswith("ancestral")]
    return [line[:4] + line[5:] for line in lines]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(capsys):
    tables = []
    for seed in ("1", "1", "2"):
        assert cli.main([*SMALL, "--seed", seed]) == 0
        tables.append(rows(capsys.readouterr().out))
    assert len(tables[0]) == 2
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize("suffix", ["csv", "txt", "npy"])
def test_a_users_points_are_learned_in_their_own_units(suffix, elsewhere, capsys):
    points = np.random.default_rng(0).standard_normal((700, 2)) * 5 + [100, -20]
    if suffix == "npy":
        np.save("points.npy", points)
    else:
        header = {"header": "x,y", "comments": "", "delimiter": ","}
        np.savetxt(f"points.{suffix}", points, **(header if suffix == "csv" else {}))
    arguments = ["--data", f"points.{suffix}", *SMALL, "--points", "out.npy"]
    assert cli.main(arguments) == 0
    assert "optimal denoiser of 500 of them" in capsys.readouterr().out
    got = np.load("out.npy", allow_pickle=False)
    assert got.shape == (200, 2)
    assert np.abs(got.mean(axis=0) - [100, -20]).max() < 5
    found = load_data(f"points.{suffix}", np.random.default_rng(0))
    assert found.scale == pytest.approx(np.sqrt(points.var(axis=0).mean()), rel=1e-12)
    assert found.draw(5000, np.random.default_rng(0)).std() == pytest.approx(
        1, abs=0.05
    )


def test_resuming_a_tour_is_exact(capsys):
    """60 steps at once, or stopped after 25 and loaded: the same parameters."""
    settings = tour.Settings(T=10, steps=60)
    data = load_data("moons", settings.rng(0))
    states = list(tour.training(settings, data))
    assert len(states) == 60
    tour.save_model("half.npz", states[24], settings)
    assert cli.main(["--load", "half.npz", "--save", "end.npz", *SMALL]) == 0
    end, loaded = tour.load_model("end.npz")
    assert loaded == settings
    np.testing.assert_array_equal(end.params, states[-1].params)
    np.testing.assert_array_equal(end.ema, states[-1].ema)
    assert end.params.dtype == np.float32


def test_a_finished_model_is_not_trained_again(capsys):
    assert cli.main([*SMALL, "--save", "m.npz"]) == 0
    first = rows(capsys.readouterr().out)
    assert cli.main(["--load", "m.npz", "--samples", "200"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert rows(out) == first


def test_ctrl_c_keeps_what_was_trained(elsewhere):
    """SIGINT during training: exit 0, a table, and a checkpoint that loads."""
    command = [sys.executable, "-m", "refdiff", "--steps", "1000000", "--T", "10"]
    command += ["--samples", "200", "--save", "m.npz"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while not (elsewhere / "m.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (elsewhere / "m.npz").exists(), "no checkpoint was written on the way"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "going on with what was trained" in err
    assert "ancestral" in out
    state, settings = tour.load_model("m.npz")
    assert 1000 <= state.step < settings.steps


def test_progress_is_plain_lines_where_stderr_is_no_terminal():
    result = run("--steps", "50", "--T", "10", "--samples", "200")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("training ") and "steps/s" in line for line in lines)
    assert "\r" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.csv"], "neither a file nor a toy"),
        (["--steps", "0"], "at least 1"),
        (["--samples", "ten"], "invalid integer"),
        (["--lr", "-1"], "lr must be"),
        (["--load", "missing.npz"], "missing.npz"),
        (["--out", "no/such/folder/x.png"], "folder"),
        (["show", "two"], "a place is"),
        (["figures"], "is it a checkout"),
        (["--bogus"], "unrecognized"),
        (["tuor"], "invalid choice: 'tuor'"),
        (["--out", "."], "is a folder"),
        (["--lr", "1e30", "--steps", "9", "--quiet"], "try a smaller --lr"),
    ],
)
def test_bad_arguments_end_with_status_2_and_no_traceback(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n3\n", "line 3: not 2 numbers: 3"),
        ("1;2\n3;a\n", "line 2: not numbers: 3;a"),
        ("1,2,3\n4,5,6\n", r"\(n, 2\)"),
        ("1,2\n", "n >= 2"),
        ("1,nan\n2,3\n", "line 1: must be finite"),
        ("1.1,2.3\n" * 50, "all 50 points are the same"),
        ("1,1e200\n2,3\n", "below 1e100"),
        ("", "points must be"),
    ],
)
def test_bad_points_are_refused(text, message, elsewhere):
    (elsewhere / "points.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_data("points.csv", np.random.default_rng(0))


def test_a_pickle_is_not_opened(elsewhere):
    np.save("points.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="points.npy"):
        load_data("points.npy", np.random.default_rng(0))
    (elsewhere / "m.npz").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="checkpoint"):
        tour.load_model("m.npz")


def test_show_prints_the_function_and_its_test(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)  # a checkout, wherever the package itself is installed
    assert cli.main(["show", "2.25"]) == 0
    out = capsys.readouterr().out
    assert "def q_posterior(" in out
    assert "def test_q_posterior_is_bayes_rule(" in out
    assert cli.main(["show", "Thm", "2.2"]) == 0
    assert "def q_marginal(" in capsys.readouterr().out
    assert cli.main(["show", "99.9"]) == 1


def test_settings_that_contradict_a_saved_model_are_refused(capsys):
    settings = tour.Settings(T=10, steps=20)
    *_, state = tour.training(settings, load_data("moons", settings.rng(0)))
    tour.save_model("m.npz", state, settings)
    assert cli.main(["--load", "m.npz", "--data", "rings"]) == 2
    assert "--data: m.npz was trained with moons" in capsys.readouterr().err
    more = ["--steps", "30", "--samples", "200", "--quiet", "--save", "n.npz"]
    assert cli.main(["--load", "m.npz", *more]) == 0
    assert tour.load_model("n.npz")[0].step == 30


def test_text_files_may_have_comments_semicolons_and_a_header(elsewhere):
    (elsewhere / "p.csv").write_text('# two\n"x";"y"\n1;2\n\n3;4\n')
    found = load_data("p.csv", np.random.default_rng(0))
    points = found.exact.means * found.scale + found.shift
    np.testing.assert_allclose(np.sort(points, axis=0), [[1, 2], [3, 4]], rtol=1e-14)


def test_show_into_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -m refdiff show | head -1"
    result = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False
    )
    assert "tutorial" in result.stdout
    assert result.stderr == ""


def test_show_names_the_test_outside_a_checkout(capsys, monkeypatch):
    cite.entries()  # read before the folder is gone
    monkeypatch.setattr(cite, "ROOT", Path("nowhere"))
    assert cli.main(["show", "2.25"]) == 0
    out = capsys.readouterr().out
    assert "# tests/test_ddpm.py::test_q_posterior_is_bayes_rule" in out
    assert "def test_q_posterior_is_bayes_rule(" not in out


def test_toys_draws_them_all(elsewhere, capsys):
    assert cli.main(["toys", "--out", "toys.png"]) == 0
    assert (elsewhere / "toys.png").stat().st_size > 20_000
    assert len(TOYS) == 11


def test_version_is_the_installed_one(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("refdiff 0.")


def test_a_failed_picture_leaves_the_old_one(elsewhere, monkeypatch):
    (elsewhere / "p.png").write_text("old")
    fig, _ = plots.figure(1, 1)
    monkeypatch.setattr(fig, "savefig", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plots.save(fig, "p.png")
    assert (elsewhere / "p.png").read_text() == "old"
    assert os.listdir() == ["p.png"]


def result_of(settings, params):
    found = load_data("moons", settings.rng(0))
    return found, tour.compare(settings, found, params, 400)


def test_both_models_run_the_same_chain_from_the_same_noise():
    """The exact row, and the learned row of a network that says eps = 0, by hand."""
    settings = tour.Settings(T=8)
    zero = np.zeros(tour.MLP(2, 8).size, np.float32)
    found, result = result_of(settings, zero)
    chain = ddpm.ddpm_chain(schedule.cosine(8))
    models = (eps_model(lambda x, t: 0 * x), found.exact.model)
    for run, model in zip(result.runs, models, strict=True):
        noise = settings.rng(2)
        *_, x = chain.run(noise.standard_normal((400, 2)), model, rng=noise)
        np.testing.assert_allclose(run.samples, x, rtol=1e-12)
    learned, exact = result.runs
    assert learned.w2 > 3 * exact.w2 > 0
    assert learned.energy > 3 * exact.energy > 0


def test_each_distance_stands_beside_its_own_floor(monkeypatch):
    monkeypatch.setattr(tour, "METRICS", (lambda a, b: 1.0, lambda a, b: 2.0))
    _, result = result_of(tour.Settings(T=4), np.zeros(tour.MLP(2, 4).size, np.float32))
    assert (result.w2_floor, result.energy_floor) == (1.0, 2.0)
    assert {(run.w2, run.energy) for run in result.runs} == {(1.0, 2.0)}
    run = tour.Run("s", "m", 7, 0.1, None, None, 2.0, 3.0)
    row = tour.report(tour.Result([run], 1.0, 6.0)).splitlines()[-1].split()
    expected = [
        "s",
        "m",
        "7",
        "0.1",
        "2.0000",
        "1.0000",
        "2.0",
        "3.0000",
        "6.0000",
        "0.5",
    ]
    assert row == expected


def test_the_streams_of_a_seed_are_apart():
    numbers = {tour.Settings(seed=s).rng(k).random() for s in (0, 1) for k in range(5)}
    assert len(numbers) == 10


def test_training_sees_fresh_data_all_times_and_unit_noise(monkeypatch):
    """What reaches the loss: the cosine schedule, t in 1..T, new batches, eps ~ N(0, I)."""
    seen = []

    def spy(params, net, x0, t, eps, sched):
        seen.append((x0, t, eps, sched))
        return 1.0, np.zeros_like(params)

    monkeypatch.setattr(tour.ddpm, "eps_loss", spy)
    settings = tour.Settings(T=5, steps=40)
    list(tour.training(settings, load_data("moons", settings.rng(0))))
    x0, t, eps, sched = (list(column) for column in zip(*seen, strict=True))
    assert len({batch.tobytes() for batch in x0}) == 40
    assert set(np.concatenate(t)) == {1, 2, 3, 4, 5}
    assert np.concatenate(eps).std() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(sched[0].beta, schedule.cosine(5).beta)


def test_the_average_of_the_parameters_is_what_is_compared(monkeypatch, capsys):
    """And the learned samples are written in data units, whole or not at all."""
    seen = []

    def compare(settings, found, params, n):
        seen.append((params, found))
        runs = [
            tour.Run("s", m, 1, 0.0, np.ones((n, 1)), np.ones((2, 60, 1)), 1.0, 1.0)
            for m in ("learned", "exact")
        ]
        return tour.Result(runs, 1.0, 1.0)

    monkeypatch.setattr(tour, "compare", compare)
    arguments = ["--data", "ex-2.1", *SMALL, "--save", "m.npz", "--points", "p.npy"]
    assert cli.main(arguments) == 0
    (params, found), state = seen[0], tour.load_model("m.npz")[0]
    np.testing.assert_array_equal(params, state.ema)
    assert not np.array_equal(state.ema, state.params)
    want = np.full((200, 1), found.scale + found.shift)
    np.testing.assert_allclose(np.load("p.npy"), want, rtol=1e-14)

    def broken(file, points):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", broken)
    assert cli.main(arguments) == 2
    assert "disk full" in capsys.readouterr().err
    np.testing.assert_allclose(np.load("p.npy"), want, rtol=1e-14)


def test_the_learning_rate_of_the_tour_has_decayed_when_it_ends(monkeypatch):
    rates = []

    def fit(loss_grad, state, *, lr):
        rates.extend([lr(1), lr(20), lr(41)])
        return iter(())

    monkeypatch.setattr(tour.train, "fit", fit)
    settings = tour.Settings(T=5, steps=40, lr=0.01)
    list(tour.training(settings, load_data("moons", settings.rng(0))))
    assert rates[0] == 0.01
    assert rates[0] > rates[1] > rates[2] == 0
