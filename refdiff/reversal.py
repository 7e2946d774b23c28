"""Running a diffusion backwards: the reverse SDE, the probability flow, and between.

All of them have the forward process's marginals at every time. They are run on falling
grids of times; model(x, level) returns the score, as in `Chain.run`.
"""

from itertools import pairwise

import numpy as np

from refdiff._check import Array, vectors, whole
from refdiff.chain import Chain
from refdiff.ode import monotone
from refdiff.probe import tabulate
from refdiff.schedule import Level, Schedule, _tables, from_beta
from refdiff.sde import SDE
from refdiff.solvers import Process
from refdiff.targets import Model


def reversal(sde: SDE, model: Model, lam: float) -> Process:
    """Return the process that undoes sde with `lam` times its noise.

    dx = [f - (1 + lam^2)/2 g^2 score] dt + lam g dw, run from T to 0: every lam >= 0 has
    the marginals of sde, lam = 1 is Anderson's reversal and lam = 0 an ODE
    ValueError if lam is below 0; when run, where signal(t) = 0 and the score says nothing.
    Source: Zhang23 for the family; Karras22 (6)
    Test: test_reversal.py::test_the_whole_family_keeps_the_marginals_of_mixtures
    """
    if not (np.ndim(lam) == 0 and np.isfinite(lam) and lam >= 0):
        raise ValueError(f"lam must be a finite number of at least 0; got {lam}")

    def f(x, t):
        pull = (1 + lam**2) / 2 * sde.g2(t)
        return sde.f(x, t) - pull * model(x, sde.level(t))

    return Process(f, lambda x, t: lam * sde.g(t))


def reverse(sde: SDE, model: Model) -> Process:
    """Return the reverse-time SDE, dx = [f - g^2 score] dt + g dw on a falling grid.

    VP: -beta(t) [x/2 + score] dt + sqrt(beta(t)) dw;  VE: -(d sigma^2/dt) score dt + ...
    Source: Chan v3 Def 4.2, Thm 4.2, Thm 4.4, (4.11), (4.16), (4.20), Ex 5.2; Anderson82 for the theorem
    Test: test_reversal.py::test_the_whole_family_keeps_the_marginals_of_mixtures
    """
    return reversal(sde, model, 1.0)


def probability_flow(sde: SDE, model: Model) -> Process:
    """Return the ODE with the marginals of sde: dx = [f - g^2/2 score] dt.

    Source: Song21 (13)
    Test: test_reversal.py::test_the_whole_family_keeps_the_marginals_of_mixtures
    """
    return reversal(sde, model, 0.0)


def ancestral_step(
    x: Array, t: float, t_next: float, score: Array, z: Array, sde: SDE
) -> Array:
    """One draw of q(x_s | x_t, x0) at x0_hat, s = t_next < t, for any linear process.

    (x + var score) / scale + (noise_s / noise_t) sqrt(var) z,  (scale, var) the transition
    from s to t: DDPM's step for VP, SMLD's ancestral step for VE
    x, score, z (..., d)  ->  (..., d)
    ValueError if an argument is not finite, or 0 <= t_next < t <= T does not hold.
    Source: Ho20 (6)-(7); Song21 F
    Test: test_reversal.py::test_the_ancestral_step_is_ddpms_and_smlds
    """
    x, score, z = vectors(x=x, score=score, z=z)
    if t_next >= t:
        raise ValueError(f"t_next must be below t; got {t_next} and {t}")
    left = sde.marginal(t_next)[1] / sde.marginal(t)[1]
    scale, var = sde.transition(t_next, t)
    return (x + var * score) / scale + left * np.sqrt(var) * z


def ancestral_chain(sde: SDE, grid: Array) -> Chain:
    """Return ancestral sampling on a falling grid of times as a Chain.

    Source: Ho20 Algorithm 2; Song21 F
    Test: test_reversal.py::test_the_ancestral_step_is_ddpms_and_smlds
    """

    def at(t, t_next):
        level = sde.level(t)
        return lambda x, z, model: ancestral_step(x, t, t_next, model(x, level), z, sde)

    return tabulate([at(*pair) for pair in pairwise(falling(grid))])


def ddpm_schedule(sde: SDE, N: int) -> Schedule:
    """Return the DDPM steps that discretise a VP SDE: beta_i = beta(t_i) T/N, t_i = i T/N.

    ValueError if N is too small, so that some beta_i reaches 1, or sde is not VP.
    Source: Chan v3 (4.13), Thm 4.1
    Test: test_reversal.py::test_ddpm_steps_are_the_vp_sde_to_first_order
    """
    whole(N=N)
    t = sde.T * np.arange(1, N + 1) / N
    _preserved(*sde.transition(0.0, t))
    return from_beta(sde.g2(t) * sde.T / N)


def _preserved(scale, var):
    """Refuse transitions that do not leave N(0, I) as it is."""
    if not np.allclose(scale**2 + var, 1, rtol=0, atol=1e-12):
        raise ValueError("sde must preserve variance; the others have no alpha_bar")


def schedule_on(sde: SDE, grid: Array) -> Schedule:
    """Return the Schedule of a VP SDE's exact transitions between the times of a grid.

    alpha[i] = exp(-B(t_{i-1}, t_i)), beta[i] = 1 - alpha[i]: x_i has the law at t_i
    grid (N+1,) from t = 0 up, whose times are the labels
    ValueError if the grid does not rise from 0, or sde does not preserve variance.
    Source: Song21 (33) for the steps' agreement
    Test: test_reversal.py::test_a_schedule_on_a_grid_has_the_marginals_of_the_sde
    """
    grid = monotone(grid)
    if grid[0] != 0 or grid[1] < 0:
        raise ValueError(f"grid must rise from 0; got {grid[0]} to {grid[-1]}")
    scale, var = sde.transition(grid[:-1], grid[1:])
    _preserved(scale, var)
    return _tables(scale**2, var, grid[1:])


def snr_grid(sde: SDE, N: int, t_min: float) -> Array:
    """Times from T down to t_min, N + 1 of them, evenly spaced in log(signal / noise).

    ValueError if t_min is outside 0..T, or has no noise.
    Source: Lu22 3.4
    Test: test_reversal.py::test_grids_are_even_in_their_own_measure
    """
    whole(N=N)
    least, most = sde.log_snr(sde.level(sde.T).t), sde.log_snr(t_min)
    if not (t_min < sde.T and np.isfinite(most)):
        raise ValueError(f"t_min must be below {sde.T} and have noise; got {t_min}")
    lam = np.linspace(least, most, N + 1)[1:-1]
    return np.array([sde.T, *(sde.time(v) for v in lam), t_min])


def between(sde: SDE, t: float, t_next: float, share: float) -> Level:
    """Return the Level at a share of the way from t to t_next in log(signal / noise).

    ValueError if share is outside 0..1.
    Source: Lu22 3.2
    Test: test_exponential.py::test_stages_stand_between_the_times_in_log_snr
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in 0..1; got {share}")
    if share in (0, 1):
        return sde.level(t_next if share else t)
    lam, lam_next = sde.log_snr(t), sde.log_snr(t_next)
    inner = (1 - share) * lam + share * lam_next
    time = sde.time(np.clip(inner, *sorted((lam, lam_next))))
    return sde.level(np.clip(time, *sorted((t, t_next))))


def falling(grid: Array) -> list[float]:
    """Return the times of a falling grid as numbers; ValueError if it does not fall.

    Source: definition
    Test: test_reversal.py::test_grids_are_even_in_their_own_measure
    """
    grid = monotone(grid)
    if grid[0] < grid[1]:
        raise ValueError(f"grid must fall; it rises from {grid[0]}")
    return grid.tolist()
