"""Whole samplers, orders and samples, as refdiff's chapters have them."""

from functools import partial
from itertools import pairwise

import numpy as np

from refdiff import (
    ddim,
    ddpm,
    edm,
    exponential,
    forward,
    langevin,
    ode,
    predictors,
    reversal,
    sde,
    solvers,
    targets,
)
from refdiff.oracle.families.schedules import schedule_of
from refdiff.oracle.models import levels_of, sde_of
from refdiff.schedule import Level


def _x0(p, x, t, y):
    """x0_hat from what the model said; v of a process that is not VP has r in it."""
    signal, noise = levels_of(p)(t)
    if p["target"] == "flow":
        return x - noise * y
    if p["target"] == "v":
        y = np.hypot(signal, noise) * y
    reads = {
        "x0": lambda x, y, signal, noise: y,
        "eps": targets.x0_from_eps,
        "v": targets.x0_from_v,
        "score": targets.x0_from_score,
    }
    return reads[p["target"]](x, y, signal, noise)


def _said(p, x, t):
    return _x0(p, x, t, p["model"](x, t))


def _eps(p):
    """The slope dx/dsigma = eps_hat, or in a flow dx/ds = eps_hat - x0_hat."""

    def slope(x, t):
        signal, noise = levels_of(p)(t)
        x0 = _said(p, x, t)
        eps = targets.eps_from_x0(x, x0, signal, noise)
        return eps - x0 if p["scaling"] == "flow" else eps

    return slope


def _score(p, told):
    """The problem's model as a chain asks it; told(level) is the number it is told."""

    def model(x, level):
        x0 = _said(p, x, told(level))
        return targets.score_from_x0(x, x0, level.signal, level.noise)

    return model


def _last(states):
    *_, x = states
    return x


def _respaced(p):
    return schedule_of(p["schedule"]).respace(1 + np.array(p["timesteps"][::-1]))


def _run(p, chain):
    """A chain on the visited times, whose label t is k + 1."""
    return _last(chain.run(p["x"], _score(p, lambda level: level.t - 1), z=p["z"]))


def ddim_sampler(p):
    """DDIM with eta."""
    return _run(p, ddim.ddim_chain(_respaced(p), p["eta"]))


def ddpm_sampler(p):
    """Ancestral sampling with either variance."""
    step = ddpm.ddpm_step if p["variance"] == "small" else ddpm.ddpm_step_beta
    return _run(p, ddpm.ddpm_chain(_respaced(p), step))


def img2img_sampler(p):
    """DDIM from x0 noised at the first of the visited times."""
    sched = _respaced(p)
    x = forward.q_sample(p["x0"], sched.T, p["eps"], sched)
    return _run({**p, "x": x, "z": None}, ddim.ddim_chain(sched))


def dpmpp_2m_sampler(p):
    """DPM-Solver++(2M) on the visited times."""
    sched = _respaced(p)
    levels = [sched.level(t) for t in range(sched.T, -1, -1)]
    return _multistep(p, levels, p["timesteps"])


def _multistep(p, levels, told):
    """Two-step DPM-Solver++ from level to level, with x0_hat at the end without noise."""
    x, x0_last = p["x"], None
    for k, t in enumerate(told):
        now, then = levels[k : k + 2]
        x0 = _said(p, x, t)
        if k == 0 or then.noise == 0:
            x = exponential.dpmpp_step(x, x0, now, then)
        else:
            x = exponential.dpmpp_2m_step(x, x0, x0_last, levels[k - 1], now, then)
        x0_last = x0
    return x


def euler_sampler(p):
    """Euler's method on dx/dsigma."""
    return _last(ode.flow(_eps(p), p["x"], p["sigmas"], ode.EULER))


flow_euler_sampler = euler_sampler


def _by_sigma(p, chain, z=None):
    """A chain whose levels are (1, sigma)."""
    return _last(chain.run(p["x"], _score(p, lambda level: level.noise), z=z))


def heun_sampler(p):
    """EDM's deterministic sampler."""
    return _by_sigma(p, edm.edm_chain(sde.edm(p["sigmas"][0]), np.array(p["sigmas"])))


def langevin_sampler(p):
    """Langevin steps at one noise level."""
    chain = langevin.langevin_chain(p["tau"], len(p["z"]), p["sigma"])
    return _by_sigma(p, chain, p["z"])


def pc_sampler(p):
    """Reverse diffusion with Langevin corrections of a fixed size."""
    predictor = predictors.ve_predictor(np.array(p["sigmas"][::-1]))
    chain = predictors.pc_chain(predictor, p["corrections"], p["size"])
    return _by_sigma(p, chain, p["z"][: chain.steps])


def _in_time(p, step, process, z=None):
    chain = solvers.chain(step, partial(process, sde_of(p)), np.array(p["times"]))
    return _last(chain.run(p["x"], _score(p, lambda level: level.t), z=z))


def reverse_sde_sampler(p):
    """Euler-Maruyama on the reverse SDE."""
    return _in_time(p, solvers.euler_maruyama_step, reversal.reverse, p["z"])


def flow_ode_sampler(p):
    """Euler's method on the probability flow."""
    return _in_time(p, solvers.ode_step(ode.EULER), reversal.probability_flow)


def _on_grids(p, solve):
    return np.array([solve(np.array(p["grids"][str(N)])) for N in p["steps"]])


def euler_order(p):
    """End points of Euler's method."""
    return _on_grids(p, lambda grid: euler_sampler({**p, "sigmas": grid}))


def heun_order(p):
    """End points of Heun's method."""
    return _on_grids(p, lambda grid: _last(ode.flow(_eps(p), p["x"], grid, ode.HEUN)))


def _dpm_order(p, solve, inner):
    """Single steps of DPM-Solver, with stages at shares of the way in log sigma."""
    model = _score(p, lambda level: level.noise)

    def along(grid):
        x, levels = p["x"], [Level(1.0, s, s) for s in grid.tolist()]
        for now, then in pairwise(levels):
            stages = [now.noise * (then.noise / now.noise) ** r for r in inner]
            x = solve(x, now, *(Level(1.0, s, s) for s in stages), then, model)
        return x

    return _on_grids(p, along)


def dpm_solver_2_order(p):
    """End points of DPM-Solver-2."""
    return _dpm_order(p, exponential.dpm2_step, (1 / 2,))


def dpm_solver_3_order(p):
    """End points of DPM-Solver-3."""
    return _dpm_order(p, exponential.dpm3_step, (1 / 3, 2 / 3))


def dpmpp_2m_order(p):
    """End points of DPM-Solver++(2M)."""

    def solve(grid):
        return _multistep(p, [Level(1.0, s, s) for s in grid.tolist()], grid[:-1])

    return _on_grids(p, solve)


def samples(p):
    """Heun's method on EDM's grid, from noise drawn with a fixed seed."""
    d = len(p["law"]["means"][0])
    z = np.random.default_rng(2403).standard_normal((p["n"], d))
    sigmas = edm.karras(18, sigma_max=p["sigma_max"])
    return heun_sampler({**p, "sigmas": sigmas, "x": sigmas[0] * z})
