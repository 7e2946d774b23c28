"""Families of levels sigma, as diffusers' schedulers answer them.

x is in the problem's own scaling, which is each scheduler's too: x0 + sigma eps for
Euler, Heun, KDPM2, LMS, EDM and Karras-VE, unit variance for the DPM-Solvers, UniPC and
DEIS, (1 - s) x0 + s eps for flow matching. `scale_model_input` is the model's business,
and the problem gives what the model said.
"""

import numpy as np
import torch

from .making import fed, made, on_levels, scheduler_of, tensor


def pair(p):
    """The two levels of the problem's step."""
    return p["sigmas"][p["index"] : p["index"] + 2]


def only(p, **wanted):
    """NotImplementedError where the scheduler's only value is not the problem's."""
    for name, value in wanted.items():
        if p.get(name, value) != value:
            raise NotImplementedError(f"{name} is always {value}")


def told(one, x, y, **how):
    """One call of step, at the scheduler's own time."""
    t = one.timesteps[one.step_index if one.step_index is not None else one.begin_index]
    return one.step(tensor(y), t, tensor(x), **how).prev_sample


def denoised(target, x, y, s):
    """x0_hat from what the model said of x0 + s eps, in double precision."""
    x, y = np.float64(x), np.float64(y)
    total = 1 + s**2
    return {
        "x0": y,
        "eps": x - s * y,
        "score": x + s**2 * y,
        "v": x / total - s / total**0.5 * y,
    }[target]


def sigmas(cls, p):
    one = scheduler_of(cls, p)
    one.set_timesteps(timesteps=list(p["timesteps"]))
    return np.array([*dict.fromkeys(one.sigmas.tolist())], np.float32)


def sigma_timesteps(cls, p):
    one = scheduler_of(cls, p)
    table = ((1 - one.alphas_cumprod) / one.alphas_cumprod) ** 0.5
    return one._sigma_to_t(p["sigma"], np.log(table.numpy())).astype(np.float32)


def step_index(cls, p):
    one = made(cls)
    listed = torch.tensor(p["timesteps"])
    return np.array([one.index_for_timestep(t, listed) for t in p["t"].tolist()])


def karras_sigmas(cls, p):
    """EDM's schedulers have its numbers by default, and are asked for them."""
    ends = {k: p[k] for k in ("sigma_min", "sigma_max", "rho")}
    one = made(cls, **({} if p.get("defaults") else ends))
    one.set_timesteps(p["N"])
    return one.sigmas.numpy()


def karras_sigmas_of_seven(cls, p):
    """Those of the schedulers whose rho is 7, with the ends set."""
    only(p, rho=7.0)
    ends = {k: p[k] for k in ("sigma_min", "sigma_max")}
    one = made(cls, use_karras_sigmas=True, **ends)
    one.set_timesteps(p["N"])
    return one.sigmas.numpy()


def exponential_sigmas(cls, p):
    ends = {k: p[k] for k in ("sigma_min", "sigma_max")}
    one = made(cls, **ends, sigma_schedule="exponential")
    one.set_timesteps(p["N"])
    return one.sigmas.numpy()


def exponential_sigmas_of_euler(cls, p):
    ends = {k: p[k] for k in ("sigma_min", "sigma_max")}
    one = made(cls, use_exponential_sigmas=True, **ends)
    one.set_timesteps(p["N"])
    return one.sigmas.numpy()


def exponential_sigmas_of_karras_ve(cls, p):
    """The list that its pipeline walks: by falling timesteps, then 0."""
    if p["N"] == 1:
        raise NotImplementedError("one step divides by zero")
    one = made(cls, sigma_min=p["sigma_min"], sigma_max=p["sigma_max"])
    one.set_timesteps(p["N"])
    return np.append(one.schedule.numpy()[one.timesteps], np.float32(0))


def edm_precondition(cls, p):
    one, sigma = made(cls, sigma_data=p["sigma_data"]), tensor(p["sigma"])
    zero, unit = torch.zeros_like(sigma), torch.ones_like(sigma)
    parts = {
        "c_skip": one.precondition_outputs(unit, zero, sigma),
        "c_out": one.precondition_outputs(zero, unit, sigma),
        "c_in": one.precondition_inputs(unit, sigma),
        "c_noise": one.precondition_noise(sigma),
    }
    return {name: part.numpy() for name, part in parts.items()}


def euler(cls, p, **how):
    return told(on_levels(cls, p, pair(p)), p["x"], p["output"], **how).numpy()


def euler_by_edm(cls, p, **how):
    """EDM's schedulers take x0_hat itself beside the network's raw output."""
    x0 = denoised(p["target"], p["x"], p["output"], pair(p)[0])
    one = made(cls)
    one._compute_karras_sigmas = lambda ramp: torch.tensor(pair(p))[: len(ramp)]
    one.set_timesteps(2)
    one.set_begin_index(0)
    how |= {"pred_original_sample": tensor(np.float32(x0))}
    return told(one, p["x"], p["output"], **how).numpy()


def convert_ve(cls, p):
    """A step says its x0_hat beside its result."""
    if p["to"] != "x0" or p["from"] == "x0":
        raise NotImplementedError("a step says x0_hat alone")
    one = on_levels(cls, {"target": p["from"]}, [p["sigma"], 0.0])
    step = one.step(tensor(p["output"]), one.timesteps[0], tensor(p["x"]))
    return step.pred_original_sample.numpy()


def edm_heun(cls, p):
    """Euler's scheduler has the noise, and Heun's last step, which is Euler's."""
    if pair(p)[1] != 0:
        raise NotImplementedError("Euler's steps alone")
    one = on_levels(cls, p, p["sigmas"], p["index"])
    names = {"s_churn": "churn", "s_tmin": "s_min", "s_tmax": "s_max"}
    how = {k: p[v] for k, v in names.items()} | {"s_noise": p["s_noise"]}
    with fed(cls, p["z"]):
        return told(one, p["x"], p["output"], **how).numpy()


def euler_ancestral(cls, p):
    only(p, eta=1.0)
    with fed(cls, p["z"]):
        return euler(cls, p)


def two_calls(cls, p):
    """A step of two evaluations, which are two calls; to sigma = 0 it is one."""
    one = on_levels(cls, p, [*pair(p), *([0.0] if pair(p)[1] else [])])
    inner = told(one, p["x"], p["output"])
    return (told(one, inner, p["output_2"]) if pair(p)[1] else inner).numpy()


def heun_calls(cls, p):
    one = on_levels(cls, {"target": "eps"}, p["sigmas"])
    listed = np.float32(p["sigmas"]).tolist()
    return np.array(
        [listed.index(s) for s in one.sigmas[: len(one.timesteps)].tolist()]
    )


def lms(cls, p):
    one = on_levels(cls, p, p["sigmas"], p["index"] - len(p["history"]))
    # The library's order counts from its own step 0, as the problem's does.
    for x, y in p["history"]:
        told(one, x, y, order=p["order"])
    return told(one, p["x"], p["output"], order=p["order"]).numpy()


def heun_by_karras_ve(cls, p):
    """Its model says -eps, and the caller makes the second call."""
    only(p, target="eps")
    (now, then), one = pair(p), made(cls)
    return _karras_ve(one, p, tensor(p["x"]), now, then)


def _karras_ve(one, p, x, now, then):
    first = one.step(tensor(-p["output"]), now, then, x)
    if then == 0:
        return first.prev_sample.numpy()
    given = now, then, x, first.prev_sample, first.derivative
    return one.step_correct(tensor(-p["output_2"]), *given).prev_sample.numpy()


def edm_heun_by_karras_ve(cls, p):
    only(p, target="eps")
    names = {"s_churn": "churn", "s_noise": "s_noise", "s_min": "s_min"}
    one = made(cls, s_max=p["s_max"], **{k: p[v] for k, v in names.items()})
    one.set_timesteps(max(len(p["sigmas"]) - 1, 2))
    one.num_inference_steps = len(p["sigmas"]) - 1
    with fed(cls, p["z"]):
        x, hat = one.add_noise_to_input(tensor(p["x"]), pair(p)[0])
    return _karras_ve(one, p, x, hat, pair(p)[1])


def reverse_diffusion_ve(cls, p):
    only(p, target="score")
    now, then = pair(p)
    one = made(cls)
    one.discrete_sigmas = torch.tensor([then, now] if then else [now])
    one.set_timesteps(len(one.discrete_sigmas))
    with fed(cls, p["z"]):
        return one.step_pred(
            tensor(p["output"]), 1.0, tensor(p["x"])
        ).prev_sample.numpy()


def langevin_corrector(cls, p):
    if "schedule" in p:
        raise NotImplementedError("variance-exploding only")
    one = made(cls, snr=p["r"])
    one.set_timesteps(1)
    with fed(cls, p["z"]):
        return one.step_correct(tensor(p["score"]), tensor(p["x"])).prev_sample.numpy()


def flow_sigmas(cls, p):
    """The list to-last is the scheduler's own; to-zero is handed in by the pipelines."""
    return np.array([*dict.fromkeys(_flow(cls, p).sigmas.tolist())], np.float32)


def flow_timesteps(cls, p):
    return _flow(cls, p).timesteps.numpy()


def flow_times(cls, p):
    return _flow(cls, p, invert_sigmas=True).sigmas.numpy()


def _flow(cls, p, **config):
    one = made(cls, num_train_timesteps=p["T"], shift=p["shift"], **config)
    if p["grid"] == "to-last":
        one.set_timesteps(p["N"])
    elif cls.__name__.startswith("FlowMatchEuler"):
        one.set_timesteps(sigmas=np.linspace(1, 1 / p["N"], p["N"]).tolist())
    else:
        raise NotImplementedError("takes no list")
    return one


def flow_euler(cls, p):
    only(p, target="flow")
    one = made(cls)
    ends = len(p["sigmas"]) - (p["sigmas"][-1] == 0)
    one.set_timesteps(sigmas=p["sigmas"][:ends])
    one.set_begin_index(p["index"])
    return told(one, p["x"], p["output"]).numpy()


def flow_heun(cls, p):
    """The scheduler takes no list: its doubled one is replaced."""
    only(p, target="flow")
    one, (now, then) = made(cls), pair(p)
    one.set_timesteps(3)
    one.sigmas = torch.tensor([now, then, then])
    one.set_begin_index(0)
    inner = told(one, p["x"], p["output"])
    return (told(one, inner, p["output_2"]) if then else inner).numpy()
