"""Train on two moons until the samples are good, with refdiff. Argument: a seed."""

import sys

import numpy as np

from refdiff import ddpm, fast, fast_net, forward, schedule, targets, toys, train
from refdiff.net import MLP
from tests.bench.jobs.until import EVERY, MOST, N, T, judge

seed = int(sys.argv[1])
law, sched, net = toys.moons(), schedule.cosine(T), MLP(2, T)
chain, good = ddpm.ddpm_chain(sched), judge(seed)
weight = np.ones(256, np.float32)


def draw(rng):
    """A batch: network input, time, target and weight."""
    x0, eps = law.sample(256, rng), rng.standard_normal((256, 2))
    t = rng.integers(1, T + 1, 256)
    xt = forward.q_sample(x0, t, eps, sched)
    return xt, t, eps, weight


rng = np.random.default_rng(seed)
first = train.start(net.init(rng, np.float32), rng)
for state in fast_net.fit(net, draw, first, lr=2e-3, ema_decay=0.995):
    if state.step % EVERY == 0:
        x = fast.start(seed, N, 2, dtype=np.float32)
        x = fast_net.run(
            chain, net, state.ema, x, to_score=targets.eps_model, seed=seed
        )
        if good(x):
            break
        if state.step == MOST:
            raise SystemExit(f"not good after {MOST} steps")
print(state.step)
