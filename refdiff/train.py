"""Training: Adam, a moving average of the parameters, and a loop its caller owns.

`fit` is a generator of frozen states. Progress bars, plots, early stopping and
checkpoints stand with whoever iterates; any state resumes the run exactly.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refdiff._check import Array, generator, positive


@dataclass(frozen=True, eq=False)
class State:
    """One moment of a training run: all that the next step depends on.

    step counts the updates made; loss is that of the last one (nan before the first);
    params, ema, m, v are (size,); rng is the state of the random generator.
    """

    step: int
    loss: float
    params: Array
    ema: Array
    m: Array
    v: Array
    rng: dict


def adam_step(
    params: Array,
    grad: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Array, Array, Array]:
    """One step of Adam, number `step` = 1, 2, ...

    m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g^2
    params <- params - lr (m / (1-b1^step)) / (sqrt(v / (1-b2^step)) + eps)
    arrays (size,)  ->  new params, m, v in their precision; nothing is changed in place
    Source: Kingma15 Algorithm 1
    Test: test_train.py::test_adam_follows_its_algorithm_by_hand
    """
    lr, step = float(lr), float(step)  # NumPy doubles would make float32 double
    rate, unbias = lr / (1 - b1**step), 1 / (1 - b2**step)
    m = b1 * m + (1 - b1) * grad
    v = b2 * v + (1 - b2) * (grad * grad)
    return params - rate * m / (np.sqrt(unbias * v) + eps), m, v


def ema_step(ema: Array, params: Array, step: int, decay: float) -> Array:
    """Moving average of the parameters, with a decay that grows towards its limit.

    ema <- k ema + (1-k) params,  k = min(decay, step / (step + 10))
    arrays (size,)  ->  new ema (size,)
    Source: Ho20 B with a warm-up of the decay
    Test: test_train.py::test_ema_is_a_weighted_mean_of_the_parameters
    """
    k = float(min(decay, step / (step + 10)))
    return k * ema + (1 - k) * params


def update(
    state: State, grad: Array, lr: float, ema_decay: float
) -> tuple[Array, Array, Array, Array]:
    """The step after a state, of Adam and of the moving average -> params, ema, m, v.

    Source: definition
    Test: test_train.py::test_ema_is_a_weighted_mean_of_the_parameters
    """
    step = state.step + 1
    params, m, v = adam_step(state.params, grad, state.m, state.v, step, lr)
    return params, ema_step(state.ema, params, step, ema_decay), m, v


def cosine_decay(lr: float, steps: int) -> Callable[[int], float]:
    """Learning rate that falls from lr to 0 over `steps`, as half a cosine.

    lr (1 + cos(pi (step-1) / steps)) / 2
    Source: Loshchilov17 (5)
    Test: test_train.py::test_cosine_decay_runs_from_lr_to_nearly_zero
    """
    positive(lr=lr, steps=steps)
    return lambda step: lr * (1 + math.cos(math.pi * min(step - 1, steps) / steps)) / 2


def start(params: Array, rng: np.random.Generator) -> State:
    """Return the state before the first step.

    Source: definition
    Test: test_train.py::test_resuming_from_any_state_is_exact
    """
    generator(rng)
    zero = np.zeros_like(params)
    return State(0, float("nan"), params, params, zero, zero, rng.bit_generator.state)


def fit(
    loss_grad: Callable[[Array, np.random.Generator], tuple[float, Array]],
    state: State,
    *,
    lr: float | Callable[[int], float] = 1e-3,
    ema_decay: float = 0.999,
    update: Callable = update,
) -> Iterator[State]:
    """Train forever, yielding the state after each step; the caller decides when to stop.

    loss_grad(params, rng) -> (loss, gradient (size,)); state from `start` or `load`
    update(state, grad, lr, ema_decay) -> params, ema, m, v; `fast_net.fit` compiles it
    ValueError at once for a number lr or a decay out of range, at its step for a rate
    or a gradient's shape; FloatingPointError for a loss or gradient not finite.
    Source: Ho20 Algorithm 1
    Test: test_train.py::test_resuming_from_any_state_is_exact
    """
    if not callable(lr):
        positive(lr=lr)
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay must be in [0, 1); got {ema_decay}")
    rate = lr if callable(lr) else lambda step: lr
    return _fit(loss_grad, state, rate, ema_decay, update)


def _fit(loss_grad, state, rate, ema_decay, update):
    rng = restore(state.rng)
    while True:
        step = state.step + 1
        loss, grad = loss_grad(state.params, rng)
        if not np.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {step}")
        if grad.shape != state.params.shape:
            raise ValueError(
                f"the gradient must be {state.params.shape}; got shape {grad.shape}"
            )
        if not np.isfinite(grad).all():
            raise FloatingPointError(f"the gradient is not finite at step {step}")
        lr = rate(step)
        if not (np.isfinite(lr) and lr >= 0):
            raise ValueError(
                f"lr must be finite and at least 0; got {lr} at step {step}"
            )
        arrays = update(state, grad, lr, ema_decay)
        state = State(step, float(loss), *arrays, rng.bit_generator.state)
        yield state


def restore(rng_state: dict) -> np.random.Generator:
    """Return a generator that continues from a state of `Generator.bit_generator`.

    Source: definition
    Test: test_train.py::test_resuming_from_any_state_is_exact
    """
    kinds = {"PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"}
    if rng_state["bit_generator"] not in kinds:
        raise ValueError(f"unknown bit generator {rng_state['bit_generator']!r}")
    rng = np.random.Generator(getattr(np.random, rng_state["bit_generator"])())
    rng.bit_generator.state = rng_state
    return rng


def save(path: str | Path, state: State, **extra: str) -> None:
    """Write a state as .npz, whole or not at all: a temporary file, then a move.

    extra: strings that are kept beside it, such as the network's settings
    Source: definition
    Test: test_train.py::test_save_and_load_are_inverse
    """
    arrays = {k: getattr(state, k) for k in ("params", "ema", "m", "v")}
    meta = {"step": state.step, "loss": state.loss, "rng": state.rng, "extra": extra}
    text = json.dumps(meta, default=_encode)
    atomic_write(path, lambda f: np.savez(f, meta=text, **arrays))


def load(path: str | Path) -> tuple[State, dict[str, str]]:
    """Read what `save` wrote: the state, and the extra strings.

    ValueError if the file is not such a checkpoint.
    Source: definition
    Test: test_train.py::test_save_and_load_are_inverse
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]), object_hook=_decode)
            arrays = {k: file[k] for k in ("params", "ema", "m", "v")}
        state = State(meta["step"], meta["loss"], rng=meta["rng"], **arrays)
        restore(state.rng)
        extra = meta["extra"]
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a refdiff checkpoint") from error
    return state, extra


def _encode(value):
    """Turn a generator's arrays into what JSON can hold."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "of": value.dtype.str}
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _decode(value):
    """Turn what `save` made of a generator's arrays into arrays again."""
    is_array = value.keys() == {"array", "of"}
    return np.array(value["array"], value["of"]) if is_array else value


def atomic_write(path: str | Path, write: Callable) -> None:
    """Call write(file) on a temporary binary file beside path, then move it there.

    Source: definition
    Test: test_train.py::test_a_writer_that_fails_leaves_the_old_file
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
