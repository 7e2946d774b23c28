"""The rows of the network: a training step, and sampling with it."""

from collections import deque
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from itertools import islice

import numpy as np

from refdiff import ddpm, losses, schedule, toys, train
from refdiff.net import MLP
from tests.bench.harness import Row, law_gap, moments, same_numbers

NET = MLP(2, 1000)  # 2 + 32 -> 3 x 128 SiLU -> 2
LR = 1e-3
DECAY = 0.999  # of the moving average, in the end: see `train.ema_step`
BATCHES = 8  # drawn beforehand, so that only the step is timed
N = 10_000
SCHED = schedule.linear(1000)

TRAINERS = {
    "torch": ("torch", "training"),
    "torch, tuned": ("torch", "training_tuned"),
    "torch.compile, tuned": ("torch", "training_compiled"),
    "JAX": ("jax", "training"),
    "JAX, tuned": ("jax", "training_tuned"),
}
SAMPLERS = {
    "torch": ("torch", "sampling"),
    "torch, tuned": ("torch", "sampling_tuned"),
    "torch.compile, tuned": ("torch", "sampling_compiled"),
    "JAX": ("jax", "sampling"),
    "JAX, tuned": ("jax", "sampling_tuned"),
}


@dataclass(frozen=True, eq=False)
class Training:
    """Batches to train on: x and target y (BATCHES, n, 2), t (BATCHES, n)."""

    n: int
    dtype: type = float

    def parts(self) -> tuple[np.ndarray, ...]:
        """Return the first parameters, x, t and y."""
        rng = np.random.default_rng(3)
        params = NET.init(rng, self.dtype)
        x, y = rng.standard_normal((2, BATCHES, self.n, 2)).astype(self.dtype)
        t = rng.integers(1, NET.T + 1, (BATCHES, self.n)).astype(self.dtype)
        return params, x, t, y


def _cycle(x, t, y):
    """Return draw(rng) that goes through the batches, with weight 1."""
    weight, k = np.ones(x.shape[1], x.dtype), -1

    def draw(rng):
        nonlocal k
        k = (k + 1) % BATCHES
        return x[k], t[k], y[k], weight

    return draw


def _last(fit, steps):
    """Return the state after so many steps, and keep none of those before it."""
    (state,) = deque(islice(fit, steps), maxlen=1)
    return state


def training_ours(problem):
    """Return run(steps) that gives the trained parameters and their moving average."""
    from refdiff import fast_net

    params, *batches = problem.parts()

    def run(steps):
        state = train.start(params, np.random.default_rng(0))
        fit = fast_net.fit(NET, _cycle(*batches), state, lr=LR, ema_decay=DECAY)
        state = _last(fit, steps)
        return np.concatenate([state.params, state.ema])

    return run


def training_numpy(problem):
    """Return the same by the package's readable passes, in NumPy."""
    params, *batches = problem.parts()

    def loss_grad(draw, params, rng):
        x, t, y, _ = draw(rng)
        y_hat, cache = NET.forward(params, x, t)
        grad, _ = NET.backward(cache, 2 / len(x) * (y_hat - y))
        return ((y_hat - y) ** 2).sum() / len(x), grad

    def run(steps):
        state = train.start(params, np.random.default_rng(0))
        of_batch = partial(loss_grad, _cycle(*batches))
        fit = train.fit(of_batch, state, lr=LR, ema_decay=DECAY)
        state = _last(fit, steps)
        return np.concatenate([state.params, state.ema])

    return run


@cache
def trained() -> np.ndarray:
    """Train for 400 steps in NumPy: so that the samples do not run away."""
    law = toys.moons()

    def loss_grad(params, rng):
        x0, eps = law.sample(256, rng), rng.standard_normal((256, 2))
        return losses.loss(params, NET, x0, rng.integers(1, 1001, 256), eps, SCHED)

    rng = np.random.default_rng(4)
    fit = train.fit(loss_grad, train.start(NET.init(rng), rng), ema_decay=0.9)
    return _last(fit, 400).ema


@dataclass(frozen=True, eq=False)
class Sampling:
    """Ancestral sampling of two moons, with a network that predicts noise."""

    dtype: type

    def params(self) -> np.ndarray:
        """Return the parameters of a short training, in the problem's precision."""
        return trained().astype(self.dtype)

    def start(self) -> np.ndarray:
        """Return N points of N(0, I)."""
        return np.random.default_rng(6).standard_normal((N, 2)).astype(self.dtype)

    def table(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows (c_x, c_eps, c_z) of the first steps, and their times."""
        chain = ddpm.ddpm_chain(SCHED)
        c_eps = -chain.b[:, 0] / chain.noise  # score = -eps / noise
        table = np.column_stack([chain.A[:, 0, 0], c_eps, chain.c[:, 0]])
        return table[:steps].astype(self.dtype), chain.t[:steps].astype(self.dtype)

    def weights(self) -> list[np.ndarray]:
        """Return W0, b0, W1, ..."""
        return list(NET.views(self.params()).values())


def sampling_numpy(problem):
    """Return run(steps) by the package's readable network, in NumPy."""
    params, start = problem.params(), problem.start()

    def run(steps):
        x, rng = start, np.random.default_rng(1)
        for (c_x, c_eps, c_z), t in zip(*problem.table(steps), strict=True):
            z = rng.standard_normal(x.shape, x.dtype)
            x = c_x * x + c_eps * NET.predict(params, x, t) + c_z * z
        return x

    return run


def sampling_ours(problem):
    """Return run(steps) with the chain cut after so many steps."""
    from refdiff import fast_net, targets
    from refdiff.chain import Chain

    chain, params, start = ddpm.ddpm_chain(SCHED), problem.params(), problem.start()
    parts = [getattr(chain, name) for name in Chain.__dataclass_fields__]

    def run(steps):
        cut = Chain(*(part[:steps] for part in parts))
        return fast_net.run(cut, NET, params, start, to_score=targets.eps_model, seed=1)

    return run


def _peer(library, function, problem):
    return getattr(import_module(f"tests.bench.network_{library}"), function)(problem)


def rows(quick: bool) -> list[Row]:
    """Return the rows, a fifth as long if quick."""
    cut, result = (5 if quick else 1), []
    for batch, steps, goals in ((256, 1000, (1.6, 3)), (4096, 100, (1.3, 2))):
        name = f"MLP training step, batch {batch}, float64"
        problem, differ = Training(batch), same_numbers(1e-9)
        ours, peers = _made(problem, training_ours, training_numpy, TRAINERS)
        result.append(Row(name, ours, peers, 20, steps // cut, differ, *goals))
    for dtype, goals in ((float, (1.2, 1.8)), (np.float32, (1, 1.4))):
        name = f"sampling with the MLP, {np.dtype(dtype)}"
        problem, differ = Sampling(dtype), law_gap(moments)
        ours, peers = _made(problem, sampling_ours, sampling_numpy, SAMPLERS)
        result.append(Row(name, ours, peers, 20, 1000 // cut, differ, *goals))
    return result


def _made(problem, ours, numpy, peers):
    """Return what makes our run, and the peers' by name."""
    made = {"NumPy": partial(numpy, problem)}
    made |= {peer: partial(_peer, *how, problem) for peer, how in peers.items()}
    return partial(ours, problem), made
