"""Families of discrete time k, as diffusers' schedulers answer them."""

import functools

import numpy as np
import torch
from diffusers import training_utils

from .making import SPACINGS, fed, made, scheduler_of, tensor, walking

VARIANCE = {
    "small": "fixed_small",
    "large": "fixed_large",
    "learned-range": "learned_range",
}


@functools.cache
def _table(cls, *items):
    """A scheduler with nothing set, kept: tables are asked for one by one."""
    return scheduler_of(cls, {"schedule": dict(items)})


def table_of(cls, p):
    """The scheduler of a schedule's tables."""
    return _table(cls, *p["schedule"].items())


def beta(cls, p):
    return table_of(cls, p).betas.numpy()[p["k"]]


def alpha_bar(cls, p):
    return table_of(cls, p).alphas_cumprod.numpy()[p["k"]]


def zero_snr(cls, p):
    return {"alpha_bar": alpha_bar(cls, p), "beta": beta(cls, p)}


def noise_std(cls, p):
    return table_of(cls, p).sigma_t.numpy()[p["k"]]


def log_snr(cls, p):
    return 2 * table_of(cls, p).lambda_t.numpy()[p["k"]]


def snr(cls, p):
    return training_utils.compute_snr(table_of(cls, p), torch.tensor(p["k"])).numpy()


def timesteps(cls, p, spacings=SPACINGS, **config):
    if p["spacing"] not in spacings:
        raise NotImplementedError("asked elsewhere")
    one = made(cls, num_train_timesteps=p["T"], timestep_spacing=p["spacing"], **config)
    one.set_timesteps(p["N"])
    return one.timesteps.numpy()


def lcm_timesteps(cls, p):
    one = made(cls, num_train_timesteps=p["T"], original_inference_steps=p["original"])
    one.set_timesteps(p["N"])
    return one.timesteps.numpy()


def add_noise(cls, p):
    t = torch.tensor(p["t"])
    return scheduler_of(cls, p).add_noise(tensor(p["x0"]), tensor(p["eps"]), t).numpy()


def convert(cls, p):
    """From a schedule of one entry; a step says its x0_hat beside its result."""
    if p["to"] != "x0" or p["from"] == "x0":
        raise NotImplementedError("a step says x0_hat alone")
    one = {"kind": "constant", "T": 1, "beta": 1 - p["alpha_bar"]}
    one = scheduler_of(cls, {"schedule": one, "target": p["from"]}, clip_sample=False)
    one.set_timesteps(1)
    return one.step(tensor(p["output"]), 0, tensor(p["x"])).pred_original_sample.numpy()


def ddpm(cls, p, **config):
    """Any list of timesteps is taken as it is; the noise is the problem's."""
    config = {"clip_sample": False, "variance_type": VARIANCE[p["variance"]]} | config
    one = scheduler_of(cls, p, **config)
    one.set_timesteps(timesteps=list(p["timesteps"]))
    said = tensor(p["output"])
    if "range" in p:
        said = torch.cat([said, tensor(p["range"])], dim=1)
    with fed(cls, p["z"]):
        k = p["timesteps"][p["index"]]
        return one.step(said, k, tensor(p["x"])).prev_sample.numpy()


def ddpm_clipped(cls, p):
    return ddpm(cls, p, clip_sample=True, clip_sample_range=p["clip"])


def ddim(cls, p, **config):
    """With use_clipped_model_output, which without clipping changes nothing."""
    one = walking(cls, p, **{"clip_sample": False} | config)
    clipped = config.get("clip_sample") or config.get("thresholding")
    return one.step(
        tensor(p["output"]),
        p["timesteps"][p["index"]],
        tensor(p["x"]),
        eta=p["eta"],
        use_clipped_model_output=bool(clipped),
        variance_noise=tensor(p["z"]),
    ).prev_sample.numpy()


def ddim_clipped(cls, p, **config):
    config |= {"clip_sample": True, "clip_sample_range": p["clip"]}
    return ddim(cls, p, **config)


def ddim_thresholded(cls, p):
    """Thresholding wants an image: one channel of a row's length, with a third axis."""
    how = {"dynamic_thresholding_ratio": p["ratio"], "sample_max_value": p["most"]}
    image = p | {name: p[name][..., None] for name in ("x", "output", "z")}
    return ddim(cls, image, thresholding=True, **how)[..., 0]


def ddim_inverse(cls, p, **config):
    one = walking(cls, p, clip_sample=False, **config)
    k = p["timesteps"][p["index"]]
    return one.step(tensor(p["output"]), k, tensor(p["x"])).prev_sample.numpy()


def ddim_by_pndm(cls, p):
    """PNDM's first multistep step, which is one of DDIM with eta = 0."""
    if p["eta"] or p["target"] == "x0":
        raise NotImplementedError("PNDM is deterministic, and reads no x0")
    one = walking(cls, p, skip_prk_steps=True, set_alpha_to_one=True)
    k = p["timesteps"][p["index"]]
    return one.step_plms(tensor(p["output"]), k, tensor(p["x"])).prev_sample.numpy()


def repaint_step(cls, p):
    """One draw serves both halves: what each sees is put where its mask shows it."""
    one = walking(cls, p, eta=1.0, clip_sample=False)
    k = p["timesteps"][p["index"]]
    given = [tensor(p[name]) for name in ("x", "x0", "mask")]
    with fed(cls, np.where(p["mask"] == 1, p["eps"], p["z"])):
        return one.step(tensor(p["output"]), k, *given).prev_sample.numpy()


def repaint_known(cls, p):
    zero = np.zeros_like(p["x0"])
    rest = {"x": zero, "output": zero, "z": zero, "mask": np.ones_like(p["x0"])}
    return repaint_step(cls, p | rest)


def one_step_forward(cls, p):
    """What RePaint's undo_step does where every time is visited."""
    one = scheduler_of(cls, p)
    one.set_timesteps(p["schedule"]["T"], jump_n_sample=1)
    with fed(cls, p["eps"]):
        return one.undo_step(tensor(p["x"]), p["t"]).numpy()


def ddim_sampler(cls, p, **config):
    x = p["x"]
    for i, k in enumerate(p["timesteps"]):
        step = p | {"index": i, "x": x, "output": p["model"](x, k), "z": p["z"][i]}
        x = ddim(cls, step, **config)
    return x


def ddpm_sampler(cls, p):
    x = p["x"]
    for i, k in enumerate(p["timesteps"]):
        step = p | {"index": i, "x": x, "output": p["model"](x, k), "z": p["z"][i]}
        x = ddpm(cls, step)
    return x


def reverse_drift(cls, p):
    """ScoreSdeVp's step of size -1 without noise, which is the drift.

    It reads its model as eps_hat, with sde's own noise: -noise score, in float32.
    """
    if p["sde"]["kind"] != "vp":
        raise NotImplementedError("variance-preserving only")
    ends = {k: p["sde"][k] for k in ("beta_min", "beta_max")}
    one = made(cls, **ends)
    one.set_timesteps(1)
    x, t = tensor(p["x"]), torch.full((len(p["x"]), 1), p["t"])
    lost = 0.25 * t**2 * (ends["beta_max"] - ends["beta_min"])
    noise = (-torch.expm1(-2 * lost - t * ends["beta_min"])) ** 0.5
    with fed(cls, np.zeros_like(p["x"])):
        _, mean = one.step_pred(-noise * tensor(p["score"]), x, t)
    return (x - mean).numpy()
