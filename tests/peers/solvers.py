"""DPM-Solvers, UniPC and DEIS: steps of a given order with their history replayed."""

import numpy as np
import torch

from .levels import denoised, only, pair, told
from .making import fed, made, on_levels, prediction, tensor


def _scaled(p):
    """The constructor's words for a scaling; x0 + sigma eps is EDM's schedulers'."""
    if p["scaling"] == "ve":
        raise NotImplementedError("not in this scaling")
    return {"use_flow_sigmas": True} if p["scaling"] == "flow" else {}


def _no_velocity(p):
    """The forms in eps_hat do not read flow matching's velocity."""
    if p["target"] == "flow":
        raise NotImplementedError("no flow_prediction in the form in eps_hat")


def multistep(cls, p, order=1, how=None, **config):
    """A step of an order, after the steps before it have been taken for their history."""
    history = list(p.get("history", ()))
    place = p["index"] - len(history)
    config |= _scaled(p) | {"solver_order": order}
    one = on_levels(cls, p, p["sigmas"], place, **config)
    for x, y in history:
        told(one, x, y, **(how or {}))
    return told(one, p["x"], p["output"], **(how or {})).numpy()


def plus(order):
    """A family of DPM-Solver++ in the order."""
    return lambda cls, p: multistep(cls, p, order, lower_order_final=False)


def dpm_solver_1(cls, p):
    """The form in eps_hat, which diffusers does not take down to sigma = 0."""
    _no_velocity(p)
    if pair(p)[1] == 0:
        raise NotImplementedError("not to sigma = 0")
    p = p | {"sigmas": [s for s in p["sigmas"] if s]}
    return multistep(cls, p, 1, algorithm_type="dpmsolver")


def dpmpp_sde_2m(cls, p):
    only(p, eta=1.0)
    noise = {"variance_noise": tensor(p["z"])}
    return multistep(cls, p, 2, noise, algorithm_type="sde-dpmsolver++")


def dpmpp_sde_2m_by_edm(cls, p):
    only(p, eta=1.0)
    with fed(cls, p["z"]):
        return by_edm(cls, p, 2, algorithm_type="sde-dpmsolver++")


def by_edm(cls, p, order, **config):
    """EDM's own: what is said goes in as the raw output that means the same."""
    only(p, scaling="ve")
    ends = p["sigmas"][-1] == 0
    config |= {"final_sigmas_type": "zero" if ends else "sigma_min"}
    one = made(cls, solver_order=order, lower_order_final=False, **config)
    given = torch.tensor(p["sigmas"][:-1] if ends else p["sigmas"])
    one._compute_karras_sigmas = lambda ramp: given
    one.set_timesteps(len(given))
    history = list(p.get("history", ()))
    one.set_begin_index(p["index"] - len(history))
    pairs = [*history, (p["x"], p["output"])]
    for (x, y), s in zip(pairs, p["sigmas"][one.begin_index :], strict=False):
        last = told(one, x, _raw(x, denoised(p["target"], x, y, s), s))
    return last.numpy()


def _raw(x, x0, s, data=0.5):
    """The network's output whose denoised image is x0."""
    total = s**2 + data**2
    return np.float32((x0 - data**2 / total * x) / (s * data / total**0.5))


def edm(order):
    """A family of DPM-Solver++ in the order, in EDM's scaling."""
    return lambda cls, p: by_edm(cls, p, order)


def predictor(order):
    """UniPC's predictor alone, in the order; to no noise it is of order 1."""

    def step(cls, p):
        everywhere = list(range(len(p["sigmas"])))
        last = pair(p)[1] == 0
        config = {"disable_corrector": everywhere, "lower_order_final": last}
        if p["scaling"] == "flow":  # its Karras levels are ratios, made into flow's
            p = p | {"sigmas": [s / (1 - s) for s in p["sigmas"]]}
        return multistep(cls, p, order, **config)

    return step


def deis_1(cls, p):
    """DEIS's first step is DPM-Solver's; it is not taken down to sigma = 0."""
    if pair(p)[1] == 0:
        raise NotImplementedError("not to sigma = 0")
    return multistep(cls, p, 1)


def _inner(p, fractions):
    """The levels at fractions of the rise in log(signal / noise)."""
    flow = p["scaling"] == "flow"
    a, b = (s / (1 - s) if flow else s for s in pair(p))
    ratios = [a * (b / a) ** r for r in fractions]
    return [ratio / (1 + ratio) if flow else ratio for ratio in ratios]


def singlestep(cls, p, fractions, outputs, x_3=None, **config):
    """The calls of one step, whose order is their number; to sigma = 0 it is one call.

    fractions: where the inner levels are;  x_3: where the third call asked, if that is
    not where the scheduler would
    """
    last, order = pair(p)[1] == 0, len(fractions) + 1
    levels = pair(p) if last else [pair(p)[0], *_inner(p, fractions), pair(p)[1]]
    config |= _scaled(p) | {"solver_order": order, "lower_order_final": True}
    one = on_levels(cls, p, levels, **config)
    one.order_list = [*range(1, len(levels) + 1)]
    x = p["x"]
    for i, y in enumerate(outputs[:1] if last else outputs):
        x = told(one, x if i < 2 or x_3 is None else x_3, y).numpy()
    return x


def dpmpp_2s(cls, p):
    return singlestep(cls, p, [p["r"]], [p["output"], p["output_2"]])


def in_eps(cls, p, fractions, outputs, x_3=None, **config):
    """The form in eps_hat, which diffusers does not take down to sigma = 0."""
    _no_velocity(p)
    if pair(p)[1] == 0:
        raise NotImplementedError("not to sigma = 0")
    config = {"algorithm_type": "dpmsolver"} | config
    return singlestep(cls, p, fractions, outputs, x_3, **config)


def dpm_solver_2(cls, p):
    return in_eps(cls, p, [p["r"]], [p["output"], p["output_2"]])


def dpm_solver_3(cls, p):
    calls = [p["output"], p["output"], p["output_3"]]
    return in_eps(cls, p, [p["r_1"], p["r_2"]], calls, p["x_3"])


def dpm_solver_3_mid(cls, p):
    """Where the scheduler's second call leads, with the paper's weights for it."""
    calls = [p["output"], p["output_2"]]
    return in_eps(cls, p, [p["r_1"], p["r_2"]], calls, solver_type="heun")


def multistep_orders(cls, p):
    """The order of each step, seen in which update is called, or as UniPC keeps it."""
    one = made(cls, solver_order=p["order"], **prediction("x0"))
    one.set_timesteps(p["N"])
    x, orders = torch.zeros(1, 1), []
    _watch(one, orders)
    for t in one.timesteps:
        x = one.step(torch.zeros(1, 1), t, x).prev_sample
        orders += [one.this_order] if hasattr(one, "this_order") else []
    return np.array(orders)


UPDATES = (
    "dpm_solver_first_order_update",
    "multistep_dpm_solver_second_order_update",
    "multistep_dpm_solver_third_order_update",
)


def _watch(one, orders):
    """Note the order of each update that the scheduler calls."""
    for order, name in enumerate(UPDATES, start=1):
        if hasattr(one, name):
            setattr(one, name, _noting(getattr(one, name), order, orders))


def _noting(update, order, orders):
    def noted(*args, **kwargs):
        orders.append(order)
        return update(*args, **kwargs)

    return noted
