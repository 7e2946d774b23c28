"""Small grids of cases in which any two settings still meet."""

from itertools import combinations, product

import numpy as np


def covering(**axes: tuple) -> list[dict]:
    """Few rows of the product of the axes, in which any two values of two axes meet.

    axes: name = tuple of values, two axes or more
    -> list of {name: value}; greedy, each row covering as many new pairs as can be,
    so the same axes give the same rows
    """
    sizes = [len(values) for values in axes.values()]
    rows = np.array(list(product(*map(range, sizes))))
    pairs = list(combinations(range(len(sizes)), 2))
    left = {(i, j): np.ones((sizes[i], sizes[j]), bool) for i, j in pairs}
    chosen = []
    while any(todo.any() for todo in left.values()):
        gain = sum(left[i, j][rows[:, i], rows[:, j]].astype(int) for i, j in pairs)
        chosen.append(rows[np.argmax(gain)])
        for i, j in pairs:
            left[i, j][chosen[-1][i], chosen[-1][j]] = False
    return [_named(axes, row) for row in chosen]


def everything(**axes: tuple) -> list[dict]:
    """Every row of the product of the axes, as `covering` names them."""
    sizes = [len(values) for values in axes.values()]
    return [_named(axes, row) for row in product(*map(range, sizes))]


def _named(axes, row):
    return {name: axes[name][k] for name, k in zip(axes, row, strict=True)}
