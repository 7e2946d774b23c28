"""Markov processes in continuous time: composing transitions, rates, and jumps.

P[i, j] is the probability, or density, to be in i having been in j, so that columns sum
to 1; W[i, j] is the rate of jumps to i from j, and W[j, j] is minus the rate of leaving
j, so that columns sum to 0. Then dp/dt = W p, and P(t) = exp(W t).
"""

from operator import index

import numpy as np

from refdiff._check import Array, finite, generator, positive


def compose(later: Array, earlier: Array, dx: float = 1.0) -> Array:
    """Chapman and Kolmogorov: the transition over both times, summed over the middle.

    p(x3 | x1) = integral of p(x3 | x2) p(x2 | x1) dx2
    later (K, M), earlier (M, J); dx = 1 for states, the spacing for densities on a grid
    Source: Chan v3 Thm 5.5, Def 5.3, (5.21)-(5.24), (5.26), (5.27). Departs: (5.23) prints t_2
    for t_3.
    Test: test_master.py::test_chapman_and_kolmogorov_by_quadrature_and_by_powers
    """
    later, earlier = finite(later=later, earlier=earlier)
    positive(dx=dx)
    shapes = f"{later.shape}, {earlier.shape}"
    if not later.ndim == earlier.ndim == 2 or later.shape[1] != len(earlier):
        raise ValueError(f"later must be (K, M) and earlier (M, J); got {shapes}")
    return later @ earlier * dx


def generator_matrix(rates: Array) -> Array:
    """Return W from rates[i, j] of jumps to i from j: the diagonal is what leaves.

    rates (K, K), at least 0 off the diagonal, which is not read  ->  W (K, K)
    ValueError if rates are not square, finite and at least 0.
    Source: Chan v3 Thm 5.6, (5.25)
    Test: test_master.py::test_the_master_equation_is_inflow_less_outflow
    """
    jumps = _jumps(rates=rates)
    return jumps - np.diag(jumps.sum(axis=0))


def flow_in(p: Array, W: Array) -> Array:
    """Return what jumps bring into each state: sum_j W[i, j] p[j], j not i.

    Source: Chan v3 (5.30)
    Test: test_master.py::test_the_master_equation_is_inflow_less_outflow
    """
    p, W = _pair(p, W)
    return _jumps(W=W) @ p  # not W p less the diagonal, which would lose digits


def flow_out(p: Array, W: Array) -> Array:
    """Return what jumps take out of each state: p[i] sum_j W[j, i], j not i.

    Source: Chan v3 (5.30)
    Test: test_master.py::test_the_master_equation_is_inflow_less_outflow
    """
    p, W = _pair(p, W)
    return _jumps(W=W).sum(axis=0) * p


def master_rate(p: Array, W: Array) -> Array:
    """The master equation: dp/dt = flow in - flow out = W p.

    p (K,), W (K, K)  ->  (K,), with sum 0
    Source: Chan v3 Thm 5.6, (5.25), (5.28)-(5.30)
    Test: test_master.py::test_the_master_equation_is_inflow_less_outflow
    """
    return flow_in(p, W) - flow_out(p, W)


def transition(W: Array, t: float) -> Array:
    """Transition probabilities over a time t: P = exp(W t).

    For a short time by the number of jumps at one rate q for all states, a Poisson
    number, sum_k e^-q q^k / k! (1 + W t/q)^k, a sum of positives; then squared, each
    column kept at sum 1, so that fast rates cost no digits
    W (K, K), t >= 0  ->  (K, K), columns with sum 1
    Source: Chan v3 Thm 5.5, Thm 5.6
    Test: test_master.py::test_chapman_and_kolmogorov_by_quadrature_and_by_powers
    """
    jumps, (t,) = _jumps(W=_generator(W)), finite(t=t)
    if t.ndim or t < 0:
        raise ValueError(f"t must be a number of at least 0; got {t}")
    leave = jumps.sum(axis=0) * t
    doublings = int(np.ceil(np.log2(max(leave.max(), 1.0))))
    leave, q = leave * 0.5**doublings, leave.max() * 0.5**doublings
    if q == 0:
        return np.eye(len(jumps))
    once = (jumps * t * 0.5**doublings + np.diag(q - leave)) / q
    P = term = np.eye(len(jumps)) * np.exp(-q)
    for k in range(1, 25):
        term = q / k * once @ term
        P = P + term
    for _ in range(doublings):
        P = P / P.sum(axis=0)
        P = P @ P
    return P / P.sum(axis=0)


def two_state(p1: float, to_2: float, to_1: float, t: float) -> float:
    """Probability of state 1 at time t, of a particle that knows two.

    rest + (p1 - rest) exp(-(to_1 + to_2) t),  rest = to_1 / (to_1 + to_2)
    p1: at t = 0; to_2 = W(2 | 1), to_1 = W(1 | 2): rates above 0; t >= 0
    Source: Chan v3 Thm 5.6 in its second proof
    Test: test_master.py::test_two_states_relax_as_the_matrix_exponential
    """
    positive(to_1=to_1, to_2=to_2)
    if not 0 <= p1 <= 1:
        raise ValueError(f"p1 must be in 0..1; got {p1}")
    if not (np.isfinite(t) and t >= 0):
        raise ValueError(f"t must be finite and at least 0; got {t}")
    rest = to_1 / (to_1 + to_2)
    return rest + (p1 - rest) * np.exp(-(to_1 + to_2) * t)


def stationary(W: Array) -> Array:
    """Distribution that a generator keeps: W p = 0, sum p = 1.

    By elimination without subtraction, so that the least likely state has its digits too
    W (K, K) with one class of states that is never left, which may be all  ->  (K,)
    ValueError if there are several such classes, and so several distributions.
    Source: definition
    Test: test_master.py::test_the_stationary_law_is_the_limit
    """
    from scipy.sparse.csgraph import connected_components

    jumps = _jumps(W=_generator(W))
    count, name = connected_components(jumps > 0, connection="strong")
    kept = [c for c in range(count) if not jumps[np.ix_(name != c, name == c)].any()]
    if len(kept) > 1:
        raise ValueError(
            f"W keeps several distributions: {len(kept)} classes of states"
        )
    p, inside = np.zeros(len(jumps)), name == kept[0]
    with np.errstate(all="ignore"):
        p[inside] = _balanced(jumps[np.ix_(inside, inside)])
    if not np.isfinite(p).all():
        raise ValueError("W must have rates less far apart: their ratios overflow")
    return p / p.sum()


def _balanced(jumps):
    """Weights that balance a class of states, by taking out its states one by one."""
    K = len(jumps)
    for last in range(K - 1, 0, -1):  # a jump through `last` becomes one past it
        jumps[last, :last] /= jumps[:last, last].sum()
        jumps[:last, :last] += np.outer(jumps[:last, last], jumps[last, :last])
    p = np.ones(K)
    for k in range(1, K):
        p[k] = jumps[k, :k] @ p[:k]
        p[: k + 1] /= p[: k + 1].max()
    return p


def balance_error(W: Array, p: Array) -> float:
    """Largest net flow between two states: 0 where p is in detailed balance.

    max |W[i, j] p[j] - W[j, i] p[i]|
    Source: definition
    Test: test_master.py::test_detailed_balance_is_more_than_stationarity
    """
    p, W = _pair(p, W)
    flow = W * p
    return float(np.abs(flow - flow.T).max())


def gillespie(start: Array, W: Array, T: float, rng: np.random.Generator) -> Array:
    """Simulate jumps exactly: an exponential wait, then a state by its rate; to time T.

    start (n,) states 0..K-1, W (K, K)  ->  states at T, (n,)
    ValueError if a start is no state, W no generator, or T below 0.
    Source: Gillespie77 for the method
    Test: test_master.py::test_jumps_have_the_law_of_the_master_equation
    """
    generator(rng)
    W, state = _generator(W), np.array(start)
    K = len(W)
    if state.ndim != 1:
        raise ValueError(f"start must be (n,); got shape {state.shape}")
    if state.dtype.kind not in "iu" or not ((state >= 0) & (state < K)).all():
        raise ValueError(f"start must be states 0..{K - 1}; got {start}")
    if not (np.isfinite(T) and T >= 0):
        raise ValueError(f"T must be finite and at least 0; got {T}")
    upto = np.cumsum(_jumps(W=W), axis=0)
    leave = upto[-1]
    clock, moving = np.zeros(len(state)), np.arange(len(state))
    while len(moving := moving[leave[state[moving]] > 0]):
        clock[moving] += rng.exponential(1 / leave[state[moving]])
        moving = moving[clock[moving] < T]
        at = state[moving]
        share = rng.random(len(moving)) * upto[-1, at]
        state[moving] = (upto[:, at] <= share).sum(axis=0)
    return state


def lattice_walk(n: int, dx: float, k: float) -> Array:
    """Return W of a walk on n points dx apart, whose limit is the heat equation.

    rate k / dx^2 to each neighbour; at the ends it turns back
    Source: Risken89 4.5 for jumps and diffusion
    Test: test_master.py::test_the_walk_becomes_the_heat_equation_at_second_order
    """
    positive(dx=dx, k=k)
    if index(n) < 2:
        raise ValueError(f"n must be at least 2; got {n}")
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) == 1
    return generator_matrix(near * k / dx**2)


def _jumps(**rates):
    """Rates of jumps as (K, K) with 0 on the diagonal, refused unless at least 0."""
    (name,), (array,) = rates, finite(**rates)
    if array.ndim != 2 or not array.size or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be (K, K); got shape {array.shape}")
    jumps = np.where(np.eye(len(array), dtype=bool), 0.0, array)
    if (jumps < 0).any():
        raise ValueError(
            f"{name} must be at least 0 off the diagonal; got {jumps.min()}"
        )
    return jumps


def _generator(W):
    """W as an array, refused unless columns sum to 0: rows are where a jump goes."""
    W = W.toarray() if hasattr(W, "toarray") else W  # a sparse one, as of a grid
    leave = _jumps(W=W).sum(axis=0)
    (W,) = finite(W=W)
    if (np.abs(leave + np.diagonal(W)) > 1e-9 * leave).any():
        sums = W.sum(axis=0)
        raise ValueError(f"W[:, j] is to sum to 0, the jumps from j; got {sums}")
    return W


def _pair(p, W):
    """Probabilities and their generator as arrays that fit."""
    (p,), W = finite(p=p), _generator(W)
    if p.shape != (len(W),):
        raise ValueError(f"p must be ({len(W)},); got shape {p.shape}")
    return p, W
