"""Lists of times that the chapters leave out, and finding a time's place again."""

import numpy as np

from refdiff._check import Array, finite, positive, whole
from refdiff.schedule import Schedule


def lcm_timesteps(T: int, original: int, N: int) -> Array:
    """N of the times that a latent consistency model was distilled at, falling.

    k_j = j (T // original) - 1 for j = original..1, at index floor(i original / N)
    ValueError unless 1 <= N <= original <= T.
    """
    whole(T=T, original=original, N=N)
    if not N <= original <= T:
        raise ValueError(f"N must be <= original <= T; got {N}, {original}, {T}")
    trained = np.arange(original, 0, -1) * (T // original) - 1
    return trained[np.arange(N) * original // N]


def quadratic_times(N: int, first: float, last: float) -> Array:
    """N + 1 times from first down to last, evenly spaced in their square root.

    Source: Zhang23 for the power of time
    """
    whole(N=N)
    finite(first=first, last=last)
    if not 0 <= last < first:
        raise ValueError(f"last must be in [0, {first}); got {last}")
    return np.linspace(np.sqrt(first), np.sqrt(last), N + 1) ** 2


def sigma_timesteps(sigma: Array, sched: Schedule) -> Array:
    """Real k of given noise / signal, linear in its logarithm between entries k = t - 1.

    sigma (n,)  ->  (n,);  ValueError outside the table
    """
    table = np.log(sched.noise[1:] / sched.signal[1:])
    (sigma,) = finite(sigma=sigma)
    positive(sigma=sigma.min())
    if not (table[0] <= np.log(sigma.min()) and np.log(sigma.max()) <= table[-1]):
        raise ValueError(f"sigma must be in {np.exp(table[[0, -1]])}; got {sigma}")
    return np.interp(np.log(sigma), table, np.arange(float(sched.T)))


def step_index(timesteps: Array, t: Array) -> Array:
    """Place from 0, in a falling list, of the entry that is nearest to each t.

    timesteps (N,), t (n,)  ->  (n,) of integers
    """
    timesteps, t = finite(timesteps=timesteps, t=t)
    return np.abs(timesteps - t[:, None]).argmin(axis=1)
