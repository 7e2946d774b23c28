"""The network: an MLP with a time embedding, its gradients written by hand.

Parameters are one flat vector, so that an optimiser, a checkpoint and a finite
difference treat them alike; `views` names its pieces without copying. The passes
(forward, backward, JVP, and backward through the JVP) stand under one another so that
the eye can compare them.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, positive

BLOCK = 512  # rows evaluated at a time by `predict`


def silu(a: Array) -> tuple[Array, Array]:
    """SiLU and its derivative, with s = sigmoid(a) as (1 + tanh(a/2)) / 2: no overflow.

    silu(a) = a s,  silu'(a) = s (1 + a (1 - s))
    a of any shape  ->  two arrays of that shape, to an absolute error of 4e-16 max(1, a)
    Source: Elfwing18 for the unit and its derivative
    Test: test_net.py::test_silu_derivative_by_complex_step
    """
    s = 0.5 + 0.5 * np.tanh(0.5 * a)
    y = a * s
    return y, s + y * (1 - s)


def silu_curvature(a: Array) -> Array:
    """Second derivative of SiLU, with s = sigmoid(a).

    silu''(a) = s (1 - s) (2 + a (1 - 2 s))
    a of any shape  ->  that shape
    Source: Elfwing18 for the unit
    Test: test_net.py::test_silu_curvature_is_the_derivative_of_the_slope
    """
    s = 0.5 + 0.5 * np.tanh(0.5 * a)
    return s * (1 - s) * (2 + a * (1 - 2 * s))


class Cache(NamedTuple):
    """What the forward pass leaves for the others: parameters, inputs, slopes."""

    params: Array
    inputs: list  # of each linear layer, (n, width)
    slopes: list  # silu'(a) of each hidden layer, (n, width)


@dataclass(frozen=True)
class MLP:
    """eps_hat(x, t): x beside an embedding of t/T, SiLU layers, a linear layer.

    d: dimension of x; T: the time that is embedded as 1; hidden: widths;
    frequencies: pairs of sine and cosine in the embedding; out: outputs (d if None).
    Source: Ho20 3.2 for predicting noise
    Test: test_net.py::test_backward_is_the_gradient
    """

    d: int
    T: float
    hidden: tuple[int, ...] = (128, 128, 128)
    frequencies: int = 16
    out: int | None = None

    def __post_init__(self):
        positive(T=self.T, **{f"width {i}": w for i, w in enumerate(self.widths)})

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the layers, input and output included.

        Source: definition
        Test: test_net.py::test_views_cover_the_vector_and_share_its_memory
        """
        out = self.d if self.out is None else self.out
        return (self.d + 2 * self.frequencies, *self.hidden, out)

    @property
    def size(self) -> int:
        """Length of the parameter vector.

        Source: definition
        Test: test_net.py::test_views_cover_the_vector_and_share_its_memory
        """
        return sum((m + 1) * n for m, n in pairwise(self.widths))

    def views(self, params: Array) -> dict[str, Array]:
        """Name the pieces of the flat vector, as views: W0 (m, n), b0 (n,), W1, ...

        params (size,)  ->  dict of views
        ValueError if params is not (size,).
        Source: definition
        Test: test_net.py::test_views_cover_the_vector_and_share_its_memory
        """
        if params.shape != (self.size,):
            raise ValueError(f"params must be ({self.size},); got shape {params.shape}")
        pieces, start = {}, 0
        for i, (m, n) in enumerate(pairwise(self.widths)):
            pieces[f"W{i}"] = params[start : start + m * n].reshape(m, n)
            pieces[f"b{i}"] = params[start + m * n : start + (m + 1) * n]
            start += (m + 1) * n
        return pieces

    def init(self, rng: np.random.Generator, dtype: type = float) -> Array:
        """Draw initial parameters: W ~ N(0, 1/fan_in), b = 0, last layer zero.

        A zero last layer starts the network at eps_hat = 0, whose loss is exactly d.
        -> (size,)
        Source: definition
        Test: test_net.py::test_an_untrained_network_predicts_zero
        """
        params = np.zeros(self.size, dtype)
        pieces = self.views(params)
        for i, m in enumerate(self.widths[:-2]):
            pieces[f"W{i}"][:] = rng.standard_normal(pieces[f"W{i}"].shape) / np.sqrt(m)
        return params

    @cached_property
    def half_turns(self) -> Array:
        """The frequencies w of the embedding, in half-turns from t = 0 to T.

        Source: Vaswani17 3.5 with other frequencies
        Test: test_net.py::test_the_embedding_tells_neighbouring_times_apart
        """
        return np.geomspace(0.5, 32, self.frequencies)

    def embed(self, t: Array) -> Array:
        """Sines and cosines of t/T at frequencies from 1/2 to 32 half-turns, geometric.

        [sin(pi w_k t/T), cos(pi w_k t/T)],  w_k = 1/2 ... 32
        t (n,) real  ->  (n, 2 frequencies)
        Source: Vaswani17 3.5 with other frequencies
        Test: test_net.py::test_the_embedding_tells_neighbouring_times_apart
        """
        angle = np.pi * self.half_turns * (np.asarray(t)[:, None] / self.T)
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    def forward(self, params: Array, x: Array, t: Array) -> tuple[Array, Cache]:
        """Evaluate the network.

        h = [x, embed(t)];  h <- silu(h W + b) for each hidden layer;  y = h W + b
        params (size,), x (n, d), t (n,) or a number  ->  y (n, out), Cache
        ValueError if params, x or t has the wrong shape, or x is not finite.
        Source: definition
        Test: test_net.py::test_forward_is_the_formula_written_out
        """
        if x.ndim != 2 or x.shape[1] != self.d:
            raise ValueError(f"x must be (n, {self.d}); got shape {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError("x must be finite")
        if np.shape(t) not in ((), (1,), (len(x),)):
            raise ValueError(f"t must be a number or ({len(x)},); got {np.shape(t)}")
        p, last = self.views(params), len(self.hidden)
        emb = self.embed(np.atleast_1d(t)).astype(params.dtype, copy=False)
        h = np.concatenate([x, np.broadcast_to(emb, (len(x), emb.shape[1]))], axis=1)
        inputs, slopes = [h], []
        for i in range(last):
            h, slope = silu(h @ p[f"W{i}"] + p[f"b{i}"])
            inputs.append(h)
            slopes.append(slope)
        return h @ p[f"W{last}"] + p[f"b{last}"], Cache(params, inputs, slopes)

    def predict(self, params: Array, x: Array, t: float) -> Array:
        """Evaluate the network at many points, in blocks that stay in the cache.

        params (size,), x (n, d), t a number  ->  y (n, out) in the precision of params
        Source: definition
        Test: test_net.py::test_predict_is_forward_in_blocks
        """
        blocks = np.split(x.astype(params.dtype), range(BLOCK, len(x), BLOCK))
        return np.concatenate([self.forward(params, b, t)[0] for b in blocks])

    def backward(self, cache: Cache, dy: Array) -> tuple[Array, Array]:
        """Gradients of a scalar loss from its gradient dy in the output.

        dW = h^T da,  db = sum_n da,  dh = da W^T,  da = dh silu'(a)
        cache from `forward`, dy (n, out)  ->  dparams (size,), dx (n, d)
        Source: definition
        Test: test_net.py::test_backward_is_the_gradient
        """
        p, dparams = self.views(cache.params), np.empty_like(cache.params)
        grads, da = self.views(dparams), np.asarray(dy, cache.params.dtype)
        for i in reversed(range(len(self.hidden) + 1)):
            np.matmul(cache.inputs[i].T, da, out=grads[f"W{i}"])
            np.sum(da, axis=0, out=grads[f"b{i}"])
            dh = da @ p[f"W{i}"].T
            if i > 0:
                da = dh * cache.slopes[i - 1]
        return dparams, dh[:, : self.d]

    def jvp(self, cache: Cache, dx: Array) -> Array:
        """Directional derivative of the output along dx, forwards through the layers.

        dh = [dx, 0];  dh <- silu'(a) (dh W) for each hidden layer;  dy = dh W
        cache from `forward`, dx (n, d)  ->  dy (n, out)
        Source: definition
        Test: test_net.py::test_jvp_is_the_derivative_along_a_direction
        """
        *_, last = self._tangents(cache, dx)
        W = self.views(cache.params)[f"W{len(self.hidden)}"]
        return last @ W[: last.shape[1]]

    def _tangents(self, cache, dx):
        """Derivative of each layer's input along dx: [dx], dh_1, dh_2, ..."""
        if dx.shape != (len(cache.inputs[0]), self.d):
            want = (len(cache.inputs[0]), self.d)
            raise ValueError(f"dx must be {want}; got shape {dx.shape}")
        p, dh = self.views(cache.params), dx
        yield dh
        for i in range(len(self.hidden)):
            dh = cache.slopes[i] * (dh @ p[f"W{i}"][: dh.shape[1]])
            yield dh

    def divergence(self, cache: Cache) -> Array:
        """Trace of the Jacobian of the output in x, exactly, by d directions.

        sum_i e_i^T J e_i
        cache from `forward` of a network with out = d  ->  (n,)
        Source: Hyvarinen05 (4) for its use
        Test: test_net.py::test_divergence_is_the_trace_of_the_jacobian
        """
        one = np.eye(self.d, dtype=cache.params.dtype)
        n = len(cache.inputs[0])
        return sum(self.jvp(cache, np.tile(e, (n, 1)))[:, i] for i, e in enumerate(one))

    def backward_jvp(self, cache: Cache, dx: Array, dy: Array, ddy: Array) -> Array:
        """Gradient of a scalar loss of the output y and its derivative jvp = J dx.

        Both passes are run back together, from dy = dL/dy and ddy = dL/d(jvp):
        da = dh silu'(a) + ddh silu''(a) (tangent W),  dda = ddh silu'(a)
        dW = h^T da + tangent^T dda,  db = sum_n da,  dh = da W^T,  ddh = dda W^T
        cache from `forward`, dx (n, d), dy and ddy (n, out)  ->  dparams (size,)
        Source: Pearlmutter94 for the method
        Test: test_net.py::test_backward_through_the_jvp_is_the_gradient
        """
        p, dparams = self.views(cache.params), np.empty_like(cache.params)
        grads, tangents = self.views(dparams), [*self._tangents(cache, dx)]
        da, dda = (np.asarray(g, cache.params.dtype) for g in (dy, ddy))
        for i in reversed(range(len(self.hidden) + 1)):
            h, tangent, W = cache.inputs[i], tangents[i], p[f"W{i}"]
            grads[f"W{i}"][:] = h.T @ da
            grads[f"W{i}"][: tangent.shape[1]] += tangent.T @ dda
            grads[f"b{i}"][:] = da.sum(axis=0)
            if i > 0:
                a = cache.inputs[i - 1] @ p[f"W{i - 1}"] + p[f"b{i - 1}"]
                rise = tangents[i - 1] @ p[f"W{i - 1}"][: tangents[i - 1].shape[1]]
                dh, ddh, slope = da @ W.T, dda @ W.T, cache.slopes[i - 1]
                da = dh * slope + ddh * silu_curvature(a) * rise
                dda = ddh * slope
        return dparams
