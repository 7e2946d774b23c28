"""Building a diffusers scheduler from a problem, and handing it what it would draw."""

import contextlib
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # imports of optional parts that are not here
    import diffusers
    import torch

import numpy as np

diffusers.utils.logging.set_verbosity_error()
PREDICTION = {
    "eps": "epsilon",
    "x0": "sample",
    "v": "v_prediction",
    "flow": "flow_prediction",
}
SPACINGS = ("leading", "trailing", "linspace")


def adapter(name: str, conventions: dict | None = None, **families: Callable) -> Any:
    """An adapter of one scheduler: its name, release and one function a family."""
    about = {"name": name, "version": diffusers.__version__, "dtype": "float32"}
    return types.SimpleNamespace(**about, conventions=conventions or {}, **families)


def bound(cls: type, *functions: Callable, **options: Any) -> dict:
    """{family: function of p}: functions of (cls, p) named as their families."""
    return {f.__name__: functools.partial(f, cls, **options) for f in functions}


def tensor(array: Any) -> torch.Tensor:
    """A tensor of the array's own dtype."""
    return torch.from_numpy(np.array(array))


def made(cls: type, **config: Any) -> Any:
    """A scheduler; what its constructor does not know, diffusers does not have."""
    known = inspect.signature(cls.__init__).parameters
    for name in config.keys() - known.keys():
        raise NotImplementedError(f"{cls.__name__} has no {name}")
    with warnings.catch_warnings():
        # algorithm_type "dpmsolver" is deprecated, and asked for all the same
        warnings.simplefilter("ignore", FutureWarning)
        return cls(**config)


def schedule_config(s: dict) -> dict:
    """The constructor's words for a schedule; NotImplementedError if it has none."""
    config: dict = {"num_train_timesteps": s["T"]}
    if s["kind"] == "constant":
        config["trained_betas"] = np.full(s["T"], s["beta"])
    elif s["kind"] == "cosine":
        if (s["s"], s["beta_max"]) != (0.008, 0.999):
            raise NotImplementedError("the cosine's offset and cap are fixed")
        config["beta_schedule"] = "squaredcos_cap_v2"
    else:
        config["beta_schedule"] = s["kind"].replace("-", "_")
        config |= {"beta_start": s["beta_1"], "beta_end": s["beta_T"]}
    return config | ({"rescale_betas_zero_snr": True} if s.get("zero_snr") else {})


def prediction(target: str) -> dict:
    """The constructor's word for what the model says; diffusers has no scores."""
    if target not in PREDICTION:
        raise NotImplementedError(f"no prediction_type is {target}")
    return {"prediction_type": PREDICTION[target]}


def scheduler_of(cls: type, p: dict, **config: Any) -> Any:
    """The scheduler of a problem's schedule and target."""
    told = prediction(p["target"]) if "target" in p else {}
    return made(cls, **schedule_config(p["schedule"]), **told, **config)


def walking(cls: type, p: dict, **config: Any) -> Any:
    """The same at the problem's timesteps, by whichever spacing gives this list."""
    wanted = list(p["timesteps"])
    if "timestep_spacing" not in inspect.signature(cls.__init__).parameters:
        return _walked(scheduler_of(cls, p, **config), wanted)
    for spacing in SPACINGS:
        with contextlib.suppress(ValueError, NotImplementedError):
            one = scheduler_of(cls, p, timestep_spacing=spacing, **config)
            return _walked(one, wanted)
    scheduler_of(cls, p, **config)  # if the schedule is what is lacking, it says so
    raise NotImplementedError("no spacing gives this list")


def _walked(scheduler, wanted):
    """The scheduler at N steps; NotImplementedError if its list is another one."""
    alone = {"jump_n_sample": 1}  # RePaint's list without its jumps back
    known = inspect.signature(scheduler.set_timesteps).parameters
    scheduler.set_timesteps(len(wanted), **{k: alone[k] for k in alone if k in known})
    found = scheduler.timesteps.tolist()
    if sorted(set(found), reverse=True) != wanted:
        raise NotImplementedError("another list")
    return scheduler


@contextlib.contextmanager
def fed(cls: type, noise: Any) -> Iterator[None]:
    """Wherever the scheduler's module draws normals, it gets these."""

    def given(shape, **_):
        return tensor(noise).reshape(tuple(shape))

    with mock.patch.object(sys.modules[cls.__module__], "randn_tensor", given):
        yield


def on_levels(cls: type, p: dict, sigmas: list, index: int = 0, **config: Any) -> Any:
    """A scheduler of the sigma kind on given levels, about to do step number index.

    The levels come in where Karras's would, so that all else is the library's own.
    """
    ends = sigmas[-1] == 0
    if "final_sigmas_type" in inspect.signature(cls.__init__).parameters:
        config["final_sigmas_type"] = "zero" if ends else "sigma_min"
    given = np.array(sigmas[:-1] if ends else sigmas)
    if "use_karras_sigmas" in inspect.signature(cls.__init__).parameters:
        config["use_karras_sigmas"] = True
    # A short table, since it is not used, and some walk it all when they are made.
    one = made(cls, num_train_timesteps=8, **prediction(p["target"]), **config)
    one._convert_to_karras = lambda in_sigmas, num_inference_steps=0: given
    with np.errstate(divide="ignore", invalid="ignore"):
        one.set_timesteps(len(given))
    if not config.get("use_karras_sigmas"):  # Euler ancestral's alone
        one.sigmas = torch.tensor([*given, 0.0], dtype=torch.float32)
    one.set_begin_index(index)
    return one
