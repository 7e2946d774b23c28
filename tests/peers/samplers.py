"""Whole runs of the schedulers of levels, with the model that the check gives."""

from .levels import only, told
from .making import made, on_levels, scheduler_of


def _walk(one, p, x, level, calls):
    """A whole run: the model is asked at each of the scheduler's calls."""
    for i in range(calls):
        x = told(one, x, p["model"](x, float(level(i)))).numpy()
    return x


def euler_sampler(cls, p):
    one = on_levels(cls, p, p["sigmas"])
    return _walk(one, p, p["x"], lambda i: one.sigmas[i], len(p["sigmas"]) - 1)


def heun_sampler(cls, p):
    """Two calls a step, but one for a step to sigma = 0."""
    one, calls = on_levels(cls, p, p["sigmas"]), 2 * (len(p["sigmas"]) - 1)
    calls -= p["sigmas"][-1] == 0
    return _walk(one, p, p["x"], lambda i: one.sigmas[i], calls)


def flow_euler_sampler(cls, p):
    only(p, target="flow")
    one = made(cls)
    one.set_timesteps(sigmas=p["sigmas"][:-1])
    one.set_begin_index(0)
    return _walk(one, p, p["x"], lambda i: one.sigmas[i], len(one.timesteps))


def dpmpp_2m_sampler(cls, p):
    one = scheduler_of(cls, p)
    one.set_timesteps(timesteps=list(p["timesteps"]))
    one.set_begin_index(0)
    return _walk(one, p, p["x"], lambda i: one.timesteps[i], len(one.timesteps))
