"""The command line, run in small as a user runs it in large."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refdiff import cite, cli, errata, plots, tour, tour_samplers, tour_vae
from refdiff.data import load_data
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
    names = [line.split(" ")[0] for line in out.splitlines() if " nats" in line]
    assert names == ["log-likelihood", "bound,", "bound,"]
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
    out = capsys.readouterr().out
    assert "optimal denoiser of 500 of them" in out
    lines = [line for line in out.splitlines() if " nats" in line]
    assert [line.split("  ")[0] for line in lines] == ["bound, learned"]
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
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "import runpy; runpy.run_module('refdiff', run_name='__main__')"
    command[1:3] = ["-c", code]  # a test run in the background ignores SIGINT
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 240
        while not (elsewhere / "m.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (elsewhere / "m.npz").exists(), "no checkpoint was written on the way"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
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
        (["figures"], "a checkout"),
        (["--bogus"], "unrecognized"),
        (["tuor"], "invalid choice: 'tuor'"),
        (["--save", "."], "is a folder"),
        (["--out", "x.jpg"], "the picture is a .png"),
        (["--lr", "1e30", "--steps", "9", "--quiet"], "try a smaller --lr"),
        (["--model", "vae", "--T", "5"], "--T has no meaning for --model vae"),
        (
            ["--model", "vae", "--target", "v"],
            "--target has no meaning for --model vae",
        ),
        (
            ["--weight", "snr", "--model", "vae"],
            "--weight has no meaning for --model vae",
        ),
        (
            ["--model", "ncsn", "--sampler", "all"],
            "--sampler has no meaning for --model ncsn",
        ),
        (["--sampler", "all", "--target", "mean"], "no continuous form"),
        (["--sampler", "heun"], "invalid choice: 'heun'"),
        (["--target", "noise"], "invalid choice: 'noise'"),
        (["errata", "two"], "a place is"),
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


def test_show_finds_a_box(capsys):
    assert cli.main(["show", "Box 2.4"]) == 0
    out = capsys.readouterr().out
    assert "def loss(" in out
    assert "def ddpm_step_x0(" in out
    assert "# refdiff.losses, line" in out


def test_errata_prints_all_slips_or_one_with_its_numbers(capsys):
    assert cli.main(["errata"]) == 0
    table = capsys.readouterr().out
    assert all(f"{erratum.place} " in table for erratum in errata.ERRATA)
    for place in (["2.26"], ["Equation", "(2.26)"]):
        assert cli.main(["errata", *place]) == 0
        out = capsys.readouterr().out
        assert out.startswith("(2.26)\n")
        assert out.count("printed") == out.count("right  ") == 2
        assert "truth    0.0526" in out
    assert cli.main(["errata", "Ex 1.3"]) == 0
    assert capsys.readouterr().out.startswith("Ex 1.3\n")
    assert cli.main(["errata", "99.9"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "refdiff: no slip is recorded at 99.9\n")


TARGETS = ["eps", "x0", "v", "score", "mean", "eps", "x0"]
WEIGHTS = ["min-snr", "x0", "snr+1", "simple", "bound", "snr", "truncated-snr"]


@pytest.mark.parametrize(("target", "weight"), list(zip(TARGETS, WEIGHTS, strict=True)))
def test_every_target_and_weight_may_be_asked_for(target, weight, monkeypatch, capsys):
    monkeypatch.setattr(tour, "picture", lambda *arguments: None)
    chosen = ["--target", target, "--weight", weight]
    wanted = [*SMALL, *chosen, "--save", "m.npz", "--points", "p.npy"]
    assert cli.main(wanted) == 0
    first = rows(capsys.readouterr().out)
    state, settings = tour.load_model("m.npz")
    assert (settings.target, settings.weight) == (target, weight)
    assert state.step == 60
    points = np.load("p.npy")
    assert points.shape == (200, 2)
    assert np.isfinite(points).all()
    # The checkpoint knows both, so that nothing need be said again, nor may be changed.
    assert cli.main(["--load", "m.npz", "--samples", "200"]) == 0
    assert rows(capsys.readouterr().out) == first
    other = "v" if target == "eps" else "eps"
    assert cli.main(["--load", "m.npz", "--target", other]) == 2
    assert f"m.npz was trained with {target}" in capsys.readouterr().err
    assert (set(TARGETS), set(WEIGHTS)) == (set(tour.TARGETS), set(tour.WEIGHTS))


@pytest.mark.parametrize("data", ["moons", "ex-2.1"])
def test_a_vae_is_trained_saved_loaded_and_drawn(data, elsewhere, capsys):
    small = [*SMALL[:4], "--quiet", "--save", "m.npz", "--points", "p.npy"]
    assert cli.main(["--model", "vae", "--data", data, *small]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (row,) = (line.split() for line in out.splitlines() if line.startswith("decoder"))
    assert row[:3] == ["decoder", "VAE", "1"]
    assert "bound, VAE" in out
    assert "log-likelihood of fresh data" in out
    assert "exact" not in out
    assert (elsewhere / "refdiff-tour.png").read_bytes().startswith(b"\x89PNG")
    points = np.load("p.npy")
    assert points.shape == (200, 1 if data == "ex-2.1" else 2)
    state, settings = tour.load_model("m.npz")
    assert (settings.model, state.step) == ("vae", 60)
    more = ["--load", "m.npz", *small, "--steps", "70"]
    assert cli.main([*more[:2], "--samples", "200", "--points", "q.npy"]) == 0
    np.testing.assert_array_equal(np.load("q.npy"), points)
    assert cli.main(more) == 0
    assert tour.load_model("m.npz")[0].step == 70
    capsys.readouterr()
    for wrong, message in (
        (["--model", "ddpm"], "m.npz was trained with vae"),
        (["--T", "100"], "--T has no meaning for --model vae"),
    ):
        assert cli.main(["--load", "m.npz", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_resuming_a_vae_is_exact(capsys):
    settings = tour.Settings(model="vae", steps=60)
    states = list(tour_vae.training(settings, load_data("moons", settings.rng(0))))
    tour.save_model("half.npz", states[24], settings)
    more = ["--samples", "100", "--quiet", "--save", "end.npz"]
    assert cli.main(["--load", "half.npz", *more]) == 0
    end, loaded = tour.load_model("end.npz")
    assert loaded == settings
    np.testing.assert_array_equal(end.params, states[-1].params)
    np.testing.assert_array_equal(end.ema, states[-1].ema)


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


def test_the_average_of_the_parameters_is_what_is_compared(monkeypatch, capsys):
    """And the learned samples are written in data units, whole or not at all."""
    seen = []

    def compare(settings, found, params, n):
        seen.append((params, found))
        x, path = np.ones((n, 1)), np.ones((2, 60, 1))
        runs = [
            tour.Run("s", m, 1, 0.0, x, path, 1.0, 1.0, (-1.0, 0.1))
            for m in ("learned", "exact")
        ]
        return tour.Result(runs, 1.0, 1.0, None)

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


def test_a_score_network_runs_from_the_command_line(elsewhere, capsys):
    assert (
        cli.main(
            NCSN := ["--model", "ncsn", "--steps", "30", "--samples", "100", "--quiet"]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "NCSN, 20 levels of noise: 30 steps" in text
    assert "annealed Langevin   learned" in text
    assert "above its least" in text
    assert "bound" not in text
    assert cli.main([*NCSN, "--T", "5"]) == 2
    assert "--T has no meaning for --model ncsn" in capsys.readouterr().err


def test_all_samplers_run_from_a_saved_model(elsewhere, capsys, monkeypatch):
    """A table and a picture; a line a sampler on stderr; samples of the best run."""
    monkeypatch.setattr(tour_samplers, "BUDGETS", (9, 12))
    assert cli.main([*SMALL, "--save", "m.npz"]) == 0
    default = rows(capsys.readouterr().out)
    found, again = ["--load", "m.npz", "--samples", "200"], []
    for quiet in ([], ["--quiet"]):
        more = ["--sampler", "all", "--points", "p.npy", "--out", "all.png", *quiet]
        assert cli.main([*found, *more]) == 0
        out, err = capsys.readouterr()
        again.append(out)
        names = [sampler.name for sampler in tour_samplers.SAMPLERS]
        told = [line for line in err.splitlines() if line.startswith("sampling: ")]
        assert [line[10:].split(" (")[0] for line in told] == ([] if quiet else names)
        assert len(told) == len(err.splitlines())
        table = [line for line in out.splitlines() if line.startswith(tuple(names))]
        assert [line[:20].strip() for line in table] == names
        assert all(len(line[20:].split()) == 1 + 2 * 2 for line in table)
        assert "200 points" in out
        assert np.load("p.npy").shape == (200, 2)
        assert (elsewhere / "all.png").read_bytes().startswith(b"\x89PNG")
    assert again[0] == again[1]
    # The sampler is no part of what a model is: the ancestral one still is the default.
    for said in ([], ["--sampler", "ancestral"]):
        assert cli.main([*found, *said]) == 0
        out, err = capsys.readouterr()
        assert rows(out) == default
        assert err == ""
    state, settings = tour.load_model("m.npz")
    data = load_data("moons", settings.rng(0))
    best = tour_samplers.compare(settings, data, state.ema, 200).best
    want = best.samples * data.scale + data.shift
    np.testing.assert_array_equal(np.load("p.npy"), want)


def test_algorithm_1_is_shown_with_its_slip(capsys):
    assert cli.main(["show", "Algorithm", "1"]) == 0
    out, _ = capsys.readouterr()
    assert "def pc_chain" in out
    assert "refdiff errata Box 4.4 inference" in out
    assert cli.main(["errata", "algorithm 1"]) == 0
    assert "no prediction survives" in " ".join(capsys.readouterr().out.split())


def test_a_whole_number_means_a_chapters_figures(elsewhere, monkeypatch, capsys):
    (elsewhere / "figures").mkdir()
    for name in ("fig_3_04_x", "fig_4_01_y"):
        script = f"def main():\n    print('drawn {name}')\n"
        (elsewhere / "figures" / f"{name}.py").write_text(script)
    assert cli.main(["figures", "4"]) == 0
    out, _ = capsys.readouterr()
    assert "drawn fig_4_01_y" in out
    assert "fig_3_04" not in out
