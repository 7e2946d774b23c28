"""Solvers that remember, and that the chapters do not hold, in float64."""

import numpy as np
from numpy.polynomial import Polynomial

from refdiff._check import Array
from refdiff.exponential import dpmpp_step
from refdiff.oracle.families.singlestep import rise
from refdiff.schedule import Level


def lms_weights(sigma: Array, sigma_next: float) -> Array:
    """Weights of the slopes at sigma[0] = now, sigma[1], ... in a step to sigma_next.

    The integral from sigma[0] to sigma_next of the polynomial that is 1 at one sigma and
    0 at the others; on even steps they are Adams-Bashforth's, times the step.
    sigma (k,), all different  ->  (k,)
    """
    nodes = np.asarray(sigma, float) - sigma[0]
    weights = []
    for j, node in enumerate(nodes):
        others = np.delete(nodes, j)
        unit = Polynomial.fromroots(others) if len(others) else Polynomial([1.0])
        weights.append(unit.integ()(sigma_next - sigma[0]) / np.prod(node - others))
    return np.array(weights)


def lms_step(x: Array, eps: Array, sigma: Array, sigma_next: float) -> Array:
    """One step of the linear multistep method: x + sum_j weight_j eps_j.

    eps (k, ..., d): eps_hat = dx/dsigma at sigma (k,), newest first  ->  (..., d)
    """
    return x + np.tensordot(lms_weights(sigma, sigma_next), np.asarray(eps), axes=1)


def dpmpp_3m_step(x: Array, x0: Array, levels: list[Level], then: Level) -> Array:
    """DPM-Solver++(3M): the exact step for x0_hat on a parabola in log(signal / noise).

    dpmpp_step with x0[0], plus signal_then sum_k m_k f_k of Newton's differences f_k:
    m_k = int_0^h e^(s - h) (s + ...) ds over the products of s - s_j
    x0 (3, ..., d) at levels, newest first  ->  (..., d)
    """
    h = rise(levels[0], then)
    back = [-rise(at, levels[0]) for at in levels]  # 0, and below 0
    first = (x0[0] - x0[1]) / -back[1]
    older = (x0[1] - x0[2]) / (back[1] - back[2])
    second = (first - older) / -back[2]
    one = -np.expm1(-h)
    line = h - one  # int_0^h e^(s - h) s ds
    square = h**2 - 2 * line
    bend = line * first + (square - back[1] * line) * second
    return dpmpp_step(x, x0[0], levels[0], then) + then.signal * bend


def ou_step(
    x: Array, x0: Array, now: Level, then: Level, eta: float, z: Array
) -> Array:
    """Exact step of the SDE with eta times the reverse SDE's noise, for a constant x0_hat.

    (noise' / noise) e^(-eta h) x + signal' (1 - e^(-(1 + eta) h)) x0
    + noise' sqrt(1 - e^(-2 eta h)) z;  eta = 0 is the flow; x0 itself at no noise
    x, x0, z (..., d)  ->  (..., d)
    """
    if then.noise == 0:
        return then.signal * x0
    h = rise(now, then)
    kept = then.noise / now.noise * np.exp(-eta * h)
    pull, var = -np.expm1(-(1 + eta) * h), -np.expm1(-2 * eta * h)
    return kept * x + then.signal * pull * x0 + then.noise * np.sqrt(var) * z


def orders(N: int, order: int) -> list[int]:
    """Orders of N steps of a multistep method: rising from 1, and falling to 1."""
    return [min(order, i + 1, N - i) for i in range(N)]
