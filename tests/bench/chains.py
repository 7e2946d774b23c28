"""The rows that run a chain against the exact score of a mixture."""

from functools import cache, partial
from importlib import import_module

import numpy as np

from tests.bench import problems
from tests.bench.harness import Row, same_law

SHORT = 10  # steps that every peer runs first

STEPS = {  # peer: module, function, its options
    "NumPy": ("numpy", "written", {}),
    "NumPy, tuned": ("numpy", "tuned", {}),
    "torch": ("torch", "written", {}),
    "torch, tuned": ("torch", "tuned_eager", {}),
    "torch.compile": ("torch", "written", {"wrap": "compiled"}),
    "torch.compile, tuned": ("torch", "tuned_compiled", {}),
    "torch.compile, own normals": ("torch", "tuned_compiled", {"box_muller": True}),
    "JAX": ("jax", "written", {}),
    "JAX, tuned": ("jax", "tuned", {}),
}
FLOW = {  # without noise there is nothing to choose of it
    name: (library, f"{function}_flow", options)
    for name, (library, function, options) in STEPS.items()
    if "box_muller" not in options
}


def ours(problem):
    """Return our job."""
    from refdiff import fast

    start, seeds = problem.start(), iter(range(1, 1000))
    return lambda: fast.run(problem.chain, problem.law, start, seed=next(seeds))


def _prepared(prepare, problem_of):
    """run(steps) for the harness: a job is prepared once for each number of steps."""
    job = cache(lambda steps: prepare(problem_of(steps)))
    return lambda steps: job(steps)()


def _peer(library, function, options, problem_of):
    module = import_module(f"tests.bench.chains_{library}")
    options = {
        name: getattr(module, value) if isinstance(value, str) else value
        for name, value in options.items()
    }
    return _prepared(partial(getattr(module, function), **options), problem_of)


def row(name, problem_of, peers, steps, required, aim):
    """Return one row: the peers of a table on a family of problems."""
    return Row(
        name,
        lambda: _prepared(ours, problem_of),
        {peer: partial(_peer, *how, problem_of) for peer, how in peers.items()},
        min(SHORT, steps),
        steps,
        same_law(problem_of(1).law),
        required,
        aim,
    )


def rows(quick: bool) -> list[Row]:
    """Return the rows, a tenth as long if quick."""
    langevin, reverse, flow = (
        problems.langevin_problem,
        problems.reverse_problem,
        problems.flow_problem,
    )
    full = partial(langevin, full=True)
    wanted = [
        ("Langevin, round, float64", langevin, float, STEPS, 1000, 5, 8),
        ("Langevin, round, float32", langevin, np.float32, STEPS, 1000, 5, 10),
        ("Langevin, full, float64", full, float, STEPS, 1000, 5, 8),
        ("reverse VP-SDE, float64", reverse, float, STEPS, 500, 5, 8),
        ("reverse VP-SDE, float32", reverse, np.float32, STEPS, 500, 5, 10),
        ("probability flow, float64", flow, float, FLOW, 100, 2, 3),
        ("probability flow, float32", flow, np.float32, FLOW, 100, 2.5, 5),
    ]
    return [
        row(name, partial(make, dtype=dtype), peers, n // (5 * quick or 1), *goals)
        for name, make, dtype, peers, n, *goals in wanted
    ]
