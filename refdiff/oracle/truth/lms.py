"""Linear multistep methods in the noise level at 50 digits, and how orders run.

p["history"] holds (x, output) at the earlier sigmas, oldest first.
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import is_x0, level, past, plain, steps, told


def lms(p, m):
    """State x + sum_j c_j d_j;  c_j integrates Lagrange's polynomial of sigma_j over the step."""
    points, (_, end) = past(p, m), level(p, m, p["index"] + 1)
    nodes = [at[1] for at, _, _ in points]
    x = p["x"]
    for j, (_, _, eps) in enumerate(points):
        x = x + lagrange_integral(nodes, j, end, m) * eps
    return {"x_prev": x}


def lagrange_integral(nodes, j, end, m):
    """Integral from nodes[0] to end of prod_k (s - s_k) / (s_j - s_k), k != j."""
    start, poly, below = nodes[0], [m.number(1.0)], m.number(1.0)
    for k, node in enumerate(nodes):
        if k != j:  # poly, in powers of s - nodes[0], times s - node
            root = node - start
            shifted = [m.number(0.0), *poly]
            poly = [a - root * b for a, b in zip(shifted, [*poly, 0], strict=True)]
            below = below * (nodes[j] - node)
    h = end - start
    return sum(c * h ** (i + 1) / (i + 1) for i, c in enumerate(poly)) / below


def lms_again(p, m):
    """The same polynomial by Newton's differences, integrated by Gauss's rule, order 4.

    Two nodes at h/2 (1 +- 1/sqrt(3)) integrate cubics exactly.
    """
    points, (_, end) = past(p, m), level(p, m, p["index"] + 1)
    nodes = [at[1] for at, _, _ in points]
    rows = [[eps for _, _, eps in points]]
    for width in range(1, len(nodes)):
        last = rows[-1]
        rows.append(
            [
                (last[i + 1] - last[i]) / (nodes[i + width] - nodes[i])
                for i in range(len(last) - 1)
            ]
        )
    h, spread = end - nodes[0], 1 / m.sqrt(m.number(3.0))
    x = p["x"]
    for sign in (1, -1):
        value, s = rows[-1][0], nodes[0] + h / 2 * (1 + sign * spread)
        for k in range(len(nodes) - 2, -1, -1):
            value = rows[k][0] + (s - nodes[k]) * value
        x = x + h / 2 * value
    return {"x_prev": x}


def orders(p, m):
    """min(order, steps done + 1, steps left)."""
    N = p["N"]
    return {"order": [min(p["order"], i + 1, N - i) for i in range(N)]}


def orders_again(p, m):
    """A rise by one a step, a flat, and the mirror image."""
    N, order = p["N"], p["order"]
    top = min(order, (N + 1) // 2)
    rise = list(range(1, top))
    return {"order": rise + [top] * (N - 2 * len(rise)) + rise[::-1]}


def _lms(large):
    for name, problem in steps(large):
        for order in (1, 2, 3, 4) if large else (2, 4) if plain(name) else (4,):
            inputs = told(problem, order - 1)
            alone = is_x0(problem) and not inputs["history"]
            named = f"order{order}/{name}"
            yield Case(named, problem | {"order": order}, inputs, degenerate=alone)


def _orders(large):
    for order in (2, 3):
        for N in (1, 2, 7, 26, 33, 64):
            yield Case(f"order{order}/N{N}", {"order": order, "N": N})


FAMILIES = (
    Family(
        "lms",
        "STEP",
        "step",
        "Karras22 (3) for the flow; Kloeden92 for Adams-Bashforth methods",
        "One step of the linear multistep method in sigma, of order min(order, index + 1): "
        "the exact integral of the polynomial through the slopes now and before. history "
        "holds (x, output) at the sigmas before index, oldest first. x = x0 + sigma eps; "
        "v is (eps - sigma x0) / sqrt(1 + sigma^2).",
        lms,
        lms_again,
        _lms,
        affine=("x", "output", "history"),
    ),
    Family(
        "multistep_orders",
        "TABLE",
        "table",
        "Lu23 for low orders at both ends",
        "The order of each of N steps of a multistep method of at most the given order, "
        "which rises from 1 at the start and falls to 1 at the end.",
        orders,
        orders_again,
        _orders,
        kinds={"order": "exact"},
    ),
)
