"""All compiled code of the network: forwards and back, in shards of particles.

A shard is a matrix with a column a particle, so small that it stays in the cache and
that BLAS (SciPy's, on one thread) need not pack it; what is not a product is loops that
LLVM vectorises. Cuts and the order of sums depend on the number of particles alone, so
that the bits do not depend on the number of threads.
"""

import numpy as np
from numba import njit, prange
from numba.extending import overload

from refdiff.compiled import ARRAYS, CACHED, inside, wide
from refdiff.elementary import DOUBLE, exp, numbers, turns
from refdiff.train import adam_step, ema_step

SHARD = 48  # particles
CHUNK = 512  # parameters


def silu(a, b):
    """Make SiLU(x) of x = a + b in place of a  ->  its derivative."""
    wide()
    slope, num = np.empty_like(a), numbers(a.dtype)
    for j in range(len(b)):
        for i in range(a.shape[1]):
            x = a[j, i] + b[j]
            s = num.one / (num.one + exp(-x, num))
            a[j, i] = x * s
            slope[j, i] = s + (x * s - x * s * s)
    return slope


def embedding(x, t, w):
    """A shard: rows of x (n, d), sin(pi w t) and cos(pi w t)."""
    wide()
    (n, d), f = x.shape, len(w)
    h = np.empty((d + 2 * f, n), x.dtype)
    h[:d] = x.T
    for k in range(f):
        for i in range(n):
            h[d + f + k, i], h[d + k, i] = turns(w[k] * t[i], DOUBLE)
    return h


def layer(params, start, m, n):
    """Weights (m, n) and biases (n,) that begin at start, and where they end."""
    middle, end = start + m * n, start + (m + 1) * n
    return params[start:middle].reshape(m, n), params[middle:end], end


def forward(widths, params, h, bias):
    """Output of a shard (a column a particle), all layers' inputs, the SiLUs' slopes.

    bias: of the first layer, in place of its own
    """
    inputs, slopes, end = [h], [h], 0
    for i in range(len(widths) - 1):
        W, b, end = layer(params, end, widths[i], widths[i + 1])
        b, h = b if i else bias, np.dot(W.T, h)
        if i < len(widths) - 2:
            slopes.append(silu(h, b))
            inputs.append(h)
        else:
            h += b.reshape(-1, 1)
    return h, inputs, slopes


def backward(widths, params, inputs, slopes, da, grad):
    """Add to grad that of one shard, from da, that in its output."""
    wide()
    end = len(params)
    for i in range(len(inputs) - 1, -1, -1):
        m, n = widths[i], widths[i + 1]
        end -= (m + 1) * n
        (W, _, _), (dW, db, _) = layer(params, end, m, n), layer(grad, end, m, n)
        turned = da.T.copy()
        dW += np.dot(inputs[i], turned)
        for row in turned:
            db += row
        if i:
            da = np.dot(W, da) * slopes[i]


def network(x, net, k, out):
    """Fill out with the network's output at x (d, n) in row k of a chain.

    net: widths and parameters without an embedding; the first biases and the scale of
    the input in each row
    """
    widths, params, biases, scales = net
    for lo in range(0, x.shape[1], SHARD):
        at = slice(lo, lo + SHARD)
        y, _, _ = forward(widths, params, x[: widths[0], at] * scales[k], biases[k])
        out[: len(y), at] = y


inside(ARRAYS, silu, embedding, layer, forward, backward, network)
overload(adam_step, inline="always", strict=False)(lambda *args: adam_step)
overload(ema_step, inline="always", strict=False)(lambda *args: ema_step)


@njit(parallel=True, **CACHED)
def loss_grad(widths, params, x, t, w, y, weight, grads):
    """Losses sum weight |net(x, t) - y|^2 of lanes; gradients to grads (lanes, size)."""
    n, lanes, losses = len(x), len(grads), np.zeros(len(grads), x.dtype)
    for k in prange(lanes):
        grads[k], hi = 0, n * (k + 1) // lanes
        _, bias, _ = layer(params, 0, widths[0], widths[1])
        for lo in range(n * k // lanes, hi, SHARD):
            at = slice(lo, min(lo + SHARD, hi))
            h = embedding(x[at], t[at], w)
            miss, inputs, slopes = forward(widths, params, h, bias)
            miss -= y[at].T
            pull = miss * weight[at]
            losses[k] += (pull * miss).sum()
            backward(widths, params, inputs, slopes, pull + pull, grads[k])
    return losses


@njit(parallel=True, **{**CACHED, "fastmath": False})
def update(new, params, ema, m, v, grad, step, lr, decay):
    """Fill new (4, size) by `train.update`: of double precision, to the last bit."""
    for part in prange(-(-len(params) // CHUNK)):
        at = slice(part * CHUNK, min((part + 1) * CHUNK, len(params)))
        p, new[2, at], new[3, at] = adam_step(
            params[at], grad[at], m[at], v[at], step, lr
        )
        new[0, at], new[1, at] = p, ema_step(ema[at], p, step, decay)
