"""The rows of whole processes: a tiny job from cold, and training to a quality."""

import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np

from tests.bench.harness import Row

ROOT = Path(__file__).resolve().parents[2]


def run_job(name: str, *arguments: str) -> list[float]:
    """Run one of `jobs` in a process of its own; return the numbers that it prints."""
    command = [sys.executable, "-m", f"tests.bench.jobs.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return [float(word) for word in done.stdout.split()]


def _installed(library):
    if find_spec(library) is None:
        raise ImportError(f"{library} is not installed")


def cold(library, *arguments):
    """Return run(size) of the tiny job, after one that fills the caches."""
    _installed(library)
    job = partial(run_job, f"cold_{library}", *arguments)
    job()
    return lambda size: job()


def near(a, b):
    """Mean and standard deviation of 2000 numbers of variance 1, in 5 errors each."""
    return float((abs(np.subtract(a, b)) / [0.16, 0.1]).max())


def training(library, *arguments):
    """Return run(size): train until the samples are good, each time with another seed."""
    _installed(library)
    seeds = count(1)
    job = f"moons_{library}"
    return lambda size: run_job(job, str(next(seeds)), *arguments)


def any_number(a, b):
    """Numbers of steps may differ: the samples were judged by the job itself."""
    return 0.0


def rows(quick: bool) -> list[Row]:
    """Return the rows: the tiny job by the kernel, and by the driver; the training."""
    cache = tempfile.mkdtemp(prefix="refdiff-bench-")
    tiny = {
        "torch": partial(cold, "torch"),
        "torch.compile": partial(cold, "torch", "compiled"),
        "JAX": partial(cold, "jax"),
        "JAX, cached": partial(cold, "jax", cache),
    }
    learn = {
        "torch": partial(training, "torch", "written"),
        "torch, tuned": partial(training, "torch", "tuned"),
        "torch.compile, tuned": partial(training, "torch", "compiled"),
    }
    kernel, driver = partial(cold, "refdiff"), partial(cold, "refdiff", "driver")
    ours, one = partial(training, "refdiff"), (1, 1)
    return [
        Row("tiny job, cold process", kernel, tiny, *one, near, 2, 4, "jobs"),
        Row("tiny job, NumPy driver", driver, tiny, *one, near, 2, 4, "jobs"),
        Row("training to a quality", ours, learn, *one, any_number, 2, 5, "jobs"),
    ]
