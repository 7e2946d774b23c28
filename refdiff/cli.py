"""The command line: `refdiff`, which is `refdiff tour`, and its companions."""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from refdiff.oracle import command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0, 2 for bad arguments, 130 for Ctrl-C."""
    parser = _parser()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (
        argv[0][0:1] == "-" and argv[0] not in ("-h", "--help", "--version")
    ):
        argv = ["tour", *argv]  # `refdiff --data rings` is `refdiff tour --data rings`
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except BrokenPipeError:  # `refdiff show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FloatingPointError as error:
        print(f"refdiff: {error}: try a smaller --lr", file=sys.stderr)
        return 2
    except (ValueError, TypeError, OSError) as error:
        print(f"refdiff: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrefdiff: stopped", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="refdiff",
        description="Diffusion models as executable mathematics. "
        "Without a command: tour.",
    )
    version = f"refdiff {metadata.version('refdiff')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="command", required=True)
    tour = commands.add_parser(
        "tour",
        help="train a model on 2-D data, sample, and compare with the exact truth",
    )
    add = tour.add_argument
    add("--data", help="a toy (see `refdiff toys`), a .csv or a .npy (moons)")
    add("--model", choices=["ddpm", "vae", "ncsn"], help="what is trained (ddpm)")
    targets = ["eps", "x0", "v", "score", "mean"]
    add("--target", choices=targets, help="what the DDPM's network predicts (eps)")
    weights = ["simple", "snr", "x0", "snr+1", "truncated-snr", "min-snr", "bound"]
    add("--weight", choices=weights, help="weighting of the loss (the target's own)")
    add("--T", type=_at_least(2), help="diffusion steps, cosine schedule (100)")
    add("--steps", type=_at_least(1), help="training steps (4000)")
    add("--batch", type=_at_least(1), help="points in a training step (256)")
    add("--lr", type=float, help="learning rate at the start (0.005)")
    add("--samples", type=_at_least(100), default=10_000, help="points drawn (10000)")
    samplers = ["ancestral", "all"]
    add("--sampler", choices=samplers, help="all: every solver, compared (ancestral)")
    add("--seed", type=_at_least(0), help="decides every random number (0)")
    add("--save", metavar="FILE", help="write the trained model (.npz)")
    add(
        "--load", metavar="FILE", help="go on from a saved model; --steps may be raised"
    )
    add("--points", metavar="FILE", help="write the learned samples (.npy, data units)")
    add("--out", default="refdiff-tour.png", metavar="FILE", help="the picture")
    add("--quiet", action="store_true", help="no progress on stderr")
    tour.set_defaults(run=_tour)
    show = commands.add_parser("show", help="the function and the test of an equation")
    show.add_argument("place", nargs="*", help='"2.25", "Thm 2.5", "Ex 2.1"; none: all')
    show.set_defaults(run=_show)
    slips = commands.add_parser("errata", help="the tutorial's misprints, with numbers")
    slips.add_argument("place", nargs="*", help='"2.26", "Ex 1.6"; none: all')
    slips.set_defaults(run=_errata)
    gallery = commands.add_parser("toys", help="a picture of all toy data sets")
    gallery.add_argument("--out", default="refdiff-toys.png", metavar="FILE")
    gallery.set_defaults(run=_toys)
    figures = commands.add_parser("figures", help="draw a checkout's figures again")
    figures.add_argument("name", nargs="*", help="parts of names; none: all")
    figures.set_defaults(run=_figures)
    command.add_to(commands)
    return parser


def _at_least(low):
    def number(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}; got {value}")
        return value

    number.__name__ = "integer"
    return number


def _tour(arguments):
    """Train, sample, compare, print and draw."""
    # Matrices this small lose more by waiting for threads than they gain; this must be
    # said before NumPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from refdiff import results, tour, tour_ncsn, tour_samplers, tour_vae
    from refdiff.data import load_data

    if Path(arguments.out).suffix != ".png":
        raise ValueError(f"--out {arguments.out}: the picture is a .png")
    for target in (arguments.out, arguments.save, arguments.points):
        if target and (
            Path(target).is_dir() or not Path(target).resolve().parent.is_dir()
        ):
            raise ValueError(f"{target}: is a folder, or its folder does not exist")
    given = {name: getattr(arguments, name) for name in asdict(tour.Settings())}
    state, settings = tour.start(given, arguments.load)
    if arguments.sampler:
        tour_samplers.check(settings, arguments.sampler)
    kind = {"ddpm": tour, "vae": tour_vae, "ncsn": tour_ncsn}[settings.model]
    data = load_data(settings.data, settings.rng(0))
    print(data.note)
    print(settings.note)
    state = _train(kind, settings, data, state, arguments)
    if arguments.save:
        tour.save_model(arguments.save, state, settings)
        print(f"model: {arguments.save}")
    found = settings, data, state.ema
    if arguments.sampler == "all":
        kind = results = tour_samplers
        result = kind.compare(*found, arguments.samples, _telling(arguments))
    else:
        result = kind.compare(*found, arguments.samples)
    print(f"\n{results.report(result)}\n")
    print("floor: median distance of two fresh samples of the data, at the same sizes")
    if arguments.points:
        points = result.best.samples * data.scale + data.shift
        tour.train.atomic_write(arguments.points, lambda f: tour.np.save(f, points))
        print(f"samples: {arguments.points}")
    kind.picture(*found, result, arguments.out)
    print(f"picture: {arguments.out}")


def _errata(arguments):
    """Print every slip of the tutorial, or one with its numbers."""
    from refdiff import errata

    place = " ".join(arguments.place)
    found = errata.find(place) if place else []
    if place and not found:
        print(f"refdiff: no slip is recorded at {place}", file=sys.stderr)
        return 1
    print("\n\n".join(map(errata.report, found)) or errata.table())
    return 0


def _telling(arguments):
    """Return told(text), a line about sampling on stderr, rewritten on a terminal."""
    bar = sys.stderr.isatty()

    def told(text):
        if not arguments.quiet:
            line = f"\rsampling: {text}\x1b[K" if bar else f"sampling: {text}\n"
            print(line, end="", file=sys.stderr, flush=True)

    return told


def _train(kind, settings, data, start, arguments):
    """Train with progress on stderr; Ctrl-C stops early and keeps what was trained."""
    from refdiff import tour

    state = start
    if start is not None and start.step >= settings.steps:
        print(f"it has been trained for {start.step} steps; --steps may be raised")
        return start
    progress = _Progress(settings.steps, arguments.quiet)
    try:
        for state in kind.training(settings, data, start):
            progress.show(state)
            if arguments.save and state.step % 1000 == 0:
                tour.save_model(arguments.save, state, settings)
    except KeyboardInterrupt:
        if state is None:
            raise
        progress.end()
        print(
            f"stopped at step {state.step}; going on with what was trained "
            "(Ctrl-C again to quit)",
            file=sys.stderr,
        )
    progress.end()
    return state


class _Progress:
    """A bar on a terminal, a line now and then elsewhere, nothing when quiet."""

    def __init__(self, steps, quiet):
        self.steps, self.quiet, self.bar = steps, quiet, sys.stderr.isatty()
        self.began, self.first, self.loss, self.shown = time.monotonic(), None, None, 0

    def show(self, state):
        self.first = state.step - 1 if self.first is None else self.first
        last = self.loss if self.loss is not None else state.loss
        self.loss = 0.98 * last + 0.02 * state.loss
        now = time.monotonic()
        due = (
            now - self.shown > 0.1
            if self.bar
            else state.step % (-(-self.steps // 10)) == 0
        )
        if self.quiet or not (due or state.step == self.steps):
            return
        self.shown = now
        rate = (state.step - self.first) / max(now - self.began, 1e-9)
        left = (self.steps - state.step) / rate
        text = f"loss {self.loss:.4f}  {rate:.0f} steps/s  {left:.0f} s left"
        if self.bar:
            full = 30 * state.step // self.steps
            text = f"\rtraining [{'#' * full}{'.' * (30 - full)}] {text}\x1b[K"
            print(text, end="", file=sys.stderr, flush=True)
        else:
            print(f"training {state.step}/{self.steps}  {text}", file=sys.stderr)

    def end(self):
        if self.bar and not self.quiet and self.first is not None:
            print(file=sys.stderr)
            self.first = None


def _show(arguments):
    """Print each function that speaks of a place, and the test that proves it."""
    from refdiff import cite, errata

    if not arguments.place:
        print(cite.table())
        return 0
    place = " ".join(arguments.place)
    found, slips = cite.find(place), errata.find(place.removeprefix("v1"))
    if not (found or slips):
        print(f"refdiff: nothing here cites {place}", file=sys.stderr)
        return 1
    shown = set()
    for entry in found:
        print(f"# {entry.module}, line {entry.line}\n{entry.code}\n")
        test = None if entry.test in shown else cite.code_of_test(entry.test)
        where = "above" if entry.test in shown else "its text is in a checkout"
        print(f"# tests/{entry.test}" + (f"\n{test}\n" if test else f" ({where})\n"))
        shown.add(entry.test)
    for slip in slips:
        print(f"# a slip of the tutorial: refdiff errata {slip.place}")
    return 0


def _toys(arguments):
    """Draw every toy: a contact sheet."""
    import numpy as np

    from refdiff import plots
    from refdiff.toys import TOYS

    fig, axes = plots.figure(3, 4, 2.6)
    rng = np.random.default_rng(0)
    for ax in axes.flat[len(TOYS) :]:
        ax.axis("off")
    for ax, (name, toy) in zip(axes.flat, TOYS.items(), strict=False):
        law = toy()
        box = 3.0 if law.d == 2 else 7.0
        title = f"{name} ({len(law.weights)} Gaussians)"
        plots.cloud(ax, law.sample(10_000, rng), title, plots.DATA, box, law)
    plots.save(fig, arguments.out)
    print(f"picture: {arguments.out}")


def _figures(arguments):
    """Run the scripts in figures/ of the checkout that the shell stands in."""
    import runpy

    every = sorted(Path("figures").glob("fig_*.py"))
    if not every:
        raise ValueError("no figures/ in this folder: go to a checkout")
    names = [re.sub(r"^(\d+)\.(\d+)$", _stem, name) for name in arguments.name]
    names = [re.sub(r"^(\d+)$", r"fig_\1_", name) for name in names]  # a chapter's
    scripts = [s for s in every if not names or any(n in s.stem for n in names)]
    if not scripts:
        known = ", ".join(script.stem for script in every)
        raise ValueError(f"no figure is named {' '.join(names)}; there are {known}")
    for script in scripts:
        began = time.monotonic()
        runpy.run_path(str(script))["main"]()
        print(f"{script.with_suffix('.png')}  {time.monotonic() - began:.1f} s")


def _stem(match):
    """The beginning of a figure's script for its number: 2.5 is fig_2_05."""
    return f"fig_{match[1]}_{int(match[2]):02d}"
