"""Whole runs: the model is asked, turned into eps_hat, and stepped along."""

from itertools import pairwise

import numpy as np

from tests.writings import eps_form_solvers as solvers
from tests.writings import eps_form_steps as steps
from tests.writings.eps_form_grids import own_grid, sigmas
from tests.writings.eps_form_tables import levels, numbers, rates, real


def ddim_sampler(p):
    x = p["x"]
    for i, k in enumerate(p["timesteps"]):
        said = {"x": x, "output": p["model"](x, k), "z": p["z"][i], "index": i}
        x = steps.ddim(p | said)
    return x


def ddpm_sampler(p):
    x = p["x"]
    for i, k in enumerate(p["timesteps"]):
        said = {"x": x, "output": p["model"](x, k), "z": p["z"][i], "index": i}
        x = steps.ddpm(p | said)
    return x


def img2img_sampler(p):
    start = p | {"t": p["timesteps"][:1] * len(p["x0"])}
    none = np.zeros((len(p["timesteps"]), 1), real(p))
    return ddim_sampler(p | {"x": steps.add_noise(start), "z": none, "eta": 0.0})


def _multistep(p, grid, labels, first_orders):
    """DPM-Solver++(2M) over grid; labels is what the model is told."""
    x, history = p["x"], []
    for i, label in enumerate(labels):
        output = p["model"](x, label)
        known = history[-1:] if i not in first_orders else []
        said = {"x": x, "output": output, "history": known}
        history = [(x, output)]
        x = solvers.dpmpp_2m(p | said | {"sigmas": grid, "index": i})
    return x


def dpmpp_2m_sampler(p):
    n = len(p["timesteps"])
    return _multistep(p | {"scaling": "vp"}, sigmas(p), p["timesteps"], (0, n - 1))


def _singlestep(p, step, inner=()):
    """A solver over sigmas; inner are the points where the model is asked besides."""
    grid, x = np.asarray(p["sigmas"], real(p)), p["x"]
    for i, sigma in enumerate(grid[:-1]):
        said = p | {"x": x, "output": p["model"](x, sigma), "index": i}
        for point, level, name in inner if grid[i + 1] > 0 else ():
            inner_x = point(said)
            said |= {f"x_{name}": inner_x}
            said |= {f"output_{name}": p["model"](inner_x, level(said))}
        x = step(said)
    return x


def euler_sampler(p):
    return _singlestep(p, solvers.euler)


def _next(p):
    return real(p)(p["sigmas"][p["index"] + 1])


def heun_sampler(p):
    return _singlestep(p, solvers.heun, [(solvers.euler, _next, 2)])


def flow_euler_sampler(p):
    return _singlestep(p, solvers.flow_euler)


def _fraction(name):
    """The level at the fraction of the rise that the question calls name."""
    return lambda p: solvers.inner(p, real(p)(p[name]))[0]


def _order_1_to(name):
    """The order-1 point at a fraction of the rise."""

    def point(p):
        sigma = real(p)(p["sigmas"][p["index"]])
        eps = solvers.eps_at(p, p["x"], p["output"], sigma)
        return solvers.along(p, p["x"], eps, sigma, _fraction(name)(p))

    return point


def _over_grids(p, run):
    runs = [run(p | {"sigmas": p["grids"][str(n)]}) for n in p["steps"]]
    return np.stack(runs)


def euler_order(p):
    return _over_grids(p, euler_sampler)


def heun_order(p):
    return _over_grids(p, heun_sampler)


def dpm_solver_2_order(p):
    inner = [(_order_1_to("r"), _fraction("r"), 2)]
    q = p | {"r": 0.5}
    return _over_grids(q, lambda p: _singlestep(p, solvers.dpm_solver_2, inner))


def dpm_solver_3_order(p):
    first = _order_1_to("r_1"), _fraction("r_1"), 2
    second = solvers.dpm_solver_3_mid, _fraction("r_2"), 3
    q = p | {"r_1": 1 / 3, "r_2": 2 / 3}
    inner = [first, second]
    return _over_grids(q, lambda p: _singlestep(p, solvers.dpm_solver_3, inner))


def dpmpp_2m_order(p):
    def run(p):
        grid = np.asarray(p["sigmas"], real(p))
        return _multistep(p, grid, grid[:-1], (0,))

    return _over_grids(p, run)


def langevin_sampler(p):
    x = p["x"]
    for z in p["z"]:
        x = steps.langevin(p | {"x": x, "score": p["model"](x, p["sigma"]), "z": z})
    return x


def pc_sampler(p):
    """A corrector of tau = size sigma^2 moves by -size sigma eps_hat."""
    x, noises, (size,) = p["x"], iter(p["z"]), numbers(p, "size")
    grid = np.asarray(p["sigmas"], real(p))
    for i, after in enumerate(grid[1:]):
        said = {"x": x, "output": p["model"](x, grid[i]), "index": i}
        x = steps.reverse_diffusion_ve(p | said | {"z": next(noises)})
        for _ in range(p["corrections"]):
            z = next(noises)
            if after > 0:
                eps = solvers.eps_at(p, x, p["model"](x, after), after)
                x = x - size * after * eps + np.sqrt(2 * size) * after * z
    return x


def _process(p, share, noisy):
    """Euler on dx = (a x + share g^2 eps_hat / noise) dt, and g dw where noisy."""
    x, times = p["x"], np.asarray(p["times"], real(p))
    for i, (t, after) in enumerate(pairwise(times)):
        signal, noise = levels(p, t)
        eps = steps.to_eps(p["target"], x, p["model"](x, t), signal, noise)
        a, g2 = rates(p, t)
        x = x + (a * x + share * g2 / noise * eps) * (after - t)
        if noisy:
            x = x + np.sqrt(g2 * (t - after)) * p["z"][i]
    return x


def reverse_sde_sampler(p):
    return _process(p, 1, True)


def flow_ode_sampler(p):
    return _process(p, real(p)(0.5), False)


def samples(p):
    """Heun's method from sigma_max down, from noise of its own."""
    f, d = real(p), len(p["law"]["means"][0])
    start = np.random.default_rng(8).standard_normal((p["n"], d)).astype(f)
    grid = own_grid(24, high=p["sigma_max"]).astype(f)
    return heun_sampler(p | {"x": grid[0] * start, "sigmas": grid})
