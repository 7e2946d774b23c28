"""How our cost grows: with particles, steps and components; and our memory."""

import numpy as np

from refdiff import fast
from refdiff.langevin import langevin_chain
from tests.bench.harness import seconds
from tests.bench.problems import TAU, mixture
from tests.bench.processes import run_job


def _time(n, steps, K, rounds):
    chain, law, x = langevin_chain(TAU, steps), mixture(True, K), np.zeros((n, 2))

    def run(seed):
        return fast.run(chain, law, x, seed=seed)

    run(0)
    return float(np.median([seconds(run, seed)[0] for seed in range(rounds)]))


def cost(rounds: int) -> list[dict]:
    """Return times as one of the three grows, and how far off a straight line they are.

    slope: exponent of the growth; misfit: largest relative error of time = a + b size,
    where a is what does not grow, such as the noise beside the components
    """
    wanted = {
        "particles": [(n, 200, 8) for n in (12_500, 25_000, 50_000, 100_000, 200_000)],
        "steps": [(20_000, steps, 8) for steps in (125, 250, 500, 1000, 2000)],
        "components": [(50_000, 100, K) for K in (8, 16, 32, 64, 128)],
    }
    result = []
    for k, (name, sizes) in enumerate(wanted.items()):
        size = [job[k] for job in sizes]
        took = [_time(*job, rounds) for job in sizes]
        slope = float(np.polyfit(np.log(size), np.log(took), 1)[0])
        line = np.polyfit(size, took, 1, w=1 / np.array(took))
        misfit = float(abs(np.polyval(line, size) / took - 1).max())
        found = {"of": name, "sizes": size, "seconds": took}
        result.append(found | {"slope": slope, "misfit": misfit})
    return result


def memory() -> list[dict]:
    """Return the peak memory that a run adds, for few steps and for many."""
    jobs = [(200_000, 100), (200_000, 1000), (400_000, 100), (400_000, 1000)]
    return [
        {
            "particles": n,
            "steps": steps,
            "bytes": run_job("memory", str(n), str(steps))[0],
        }
        for n, steps in jobs
    ]
