"""A small network at 50 digits, and its gradient by going back and by going forward.

Two layers of SiLU and a linear one, weights as (inputs, outputs): y = silu(silu(x W0 +
b0) W1 + b1) W2 + b2. The truth goes back through it; the second derivation pushes a unit
change of each parameter forward.
"""

import numpy as np

NAMES = ("W0", "b0", "W1", "b1", "W2", "b2")
PARAMS = {  # few bits each, so that every precision holds them
    "W0": [[0.75, -0.5, 0.25], [-0.375, 0.625, 0.5], [0.5, 0.25, -0.875]],
    "b0": [0.125, -0.25, 0.375],
    "W1": [[0.5, -0.75, 0.375], [0.625, 0.25, -0.5], [-0.25, 0.875, 0.5]],
    "b1": [-0.125, 0.25, 0.0625],
    "W2": [[0.625, -0.375], [-0.5, 0.75], [0.25, 0.5]],
    "b2": [0.1875, -0.0625],
}


def _sigmoid(a, m):
    return 1 / (1 + m.exp(-a))


def silu(a, m):
    """Return a sigmoid(a)."""
    return a * _sigmoid(a, m)


def slope(a, m):
    """Derivative of silu: s (1 + a (1 - s))."""
    s = _sigmoid(a, m)
    return s * (1 + a * (1 - s))


def forward(p, x, m):
    """Return y at x (n, 3), and what each layer was given."""
    a0 = x @ p["W0"] + p["b0"]
    h0 = silu(a0, m)
    a1 = h0 @ p["W1"] + p["b1"]
    h1 = silu(a1, m)
    return h1 @ p["W2"] + p["b2"], (a0, h0, a1, h1)


def backward(p, x, dy, m):
    """Gradient of a loss with dy = dloss/dy, by parameter, layer after layer backwards."""
    _, (a0, h0, a1, h1) = forward(p, x, m)
    da1 = (dy @ p["W2"].T) * slope(a1, m)
    da0 = (da1 @ p["W1"].T) * slope(a0, m)
    grads = x.T @ da0, da0.sum(axis=0), h0.T @ da1, da1.sum(axis=0)
    return dict(zip(NAMES, (*grads, h1.T @ dy, dy.sum(axis=0)), strict=True))


def pushed(p, x, dy, m):
    """The same gradient: dloss is the sum of dy times what each parameter moves y by."""
    _, acts = forward(p, x, m)
    return {name: _each_unit(p, x, dy, name, acts, m) for name in NAMES}


def _each_unit(p, x, dy, name, acts, m):
    found = np.empty(p[name].shape, object)
    for place in np.ndindex(found.shape):
        unit = {k: m.number(np.zeros(p[k].shape)) for k in NAMES}
        unit[name][place] = m.number(1.0)
        found[place] = (dy * _tangent(p, unit, x, acts, m)).sum()
    return found


def _tangent(p, unit, x, acts, m):
    """How y moves along a change of the parameters."""
    a0, h0, a1, h1 = acts
    t0 = slope(a0, m) * (x @ unit["W0"] + unit["b0"])
    t1 = slope(a1, m) * (t0 @ p["W1"] + h0 @ unit["W1"] + unit["b1"])
    return t1 @ p["W2"] + h1 @ unit["W2"] + unit["b2"]
