"""One adapter for each scheduler of diffusers that has something refdiff asks for."""

import functools

from diffusers import schedulers as s
from diffusers.schedulers.deprecated.scheduling_karras_ve import KarrasVeScheduler
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler

from . import discrete as k
from . import levels as v
from . import samplers as r
from . import solvers as o
from .making import adapter, bound

ONE_MORE = {"timesteps_points": "N+1"}  # the list's last point, 0, is not a step
REAL = {"timesteps_rounding": "none"}  # times between the table's entries
LINSPACE = functools.partial(k.timesteps, spacings=("linspace",))
TABLES = (k.beta, k.alpha_bar, k.snr, k.add_noise)


def _as(cls, **functions):
    """{family: function of p} under names of their own."""
    return {name: functools.partial(f, cls) for name, f in functions.items()}


def _adapter(cls, *functions, conventions=None, label="", **renamed):
    """An adapter of a class: functions named as families, and others by keyword."""
    families = bound(cls, *functions) | _as(cls, **renamed)
    return adapter(cls.__name__ + label, conventions, **families)


DDIM = (k.timesteps, k.convert, k.ddim, k.ddim_clipped, k.ddim_thresholded)
FIRST = {"set_alpha_to_one": False}

ADAPTERS = (
    _adapter(
        s.DDPMScheduler,
        *TABLES,
        k.zero_snr,
        k.timesteps,
        k.ddpm,
        k.ddpm_clipped,
        k.ddpm_sampler,
    ),
    _adapter(s.DDPMParallelScheduler, *TABLES, k.timesteps, k.ddpm, k.ddpm_clipped),
    _adapter(s.DDIMScheduler, *TABLES, k.zero_snr, *DDIM, k.ddim_sampler),
    _adapter(s.DDIMParallelScheduler, *TABLES, *DDIM),
    adapter(
        "DDIMScheduler(set_alpha_to_one=False, steps_offset=1)",
        {"final_alpha_bar": "first", "leading_offset": "1"},
        **bound(s.DDIMScheduler, k.ddim, k.ddim_clipped, **FIRST),
        **bound(s.DDIMScheduler, k.timesteps, steps_offset=1),
    ),
    _adapter(s.DDIMInverseScheduler, k.beta, k.alpha_bar, k.ddim_inverse),
    _adapter(s.PNDMScheduler, *TABLES, ddim=k.ddim_by_pndm),
    _adapter(
        s.RePaintScheduler,
        k.beta,
        k.alpha_bar,
        k.repaint_step,
        k.repaint_known,
        k.one_step_forward,
    ),
    _adapter(s.LCMScheduler, *TABLES, k.lcm_timesteps),
    _adapter(
        s.EulerDiscreteScheduler,
        k.beta,
        k.alpha_bar,
        v.sigmas,
        v.sigma_timesteps,
        v.step_index,
        v.convert_ve,
        v.euler,
        v.edm_heun,
        r.euler_sampler,
        karras_sigmas=v.karras_sigmas_of_seven,
        exponential_sigmas=v.exponential_sigmas_of_euler,
        timesteps=LINSPACE,
        conventions=REAL,
    ),
    *[
        adapter(
            f"{c.__name__}, leading and trailing",
            **bound(c, k.timesteps, spacings=("leading", "trailing")),
        )
        for c in (
            s.EulerDiscreteScheduler,
            s.EulerAncestralDiscreteScheduler,
            s.LMSDiscreteScheduler,
        )
    ],
    _adapter(
        s.EulerAncestralDiscreteScheduler,
        v.euler_ancestral,
        timesteps=LINSPACE,
        conventions=REAL,
    ),
    _adapter(
        s.HeunDiscreteScheduler,
        v.sigmas,
        v.heun_calls,
        r.heun_sampler,
        heun=v.two_calls,
    ),
    _adapter(s.KDPM2DiscreteScheduler, dpm2=v.two_calls),
    _adapter(s.LMSDiscreteScheduler, v.lms, timesteps=LINSPACE, conventions=REAL),
    _adapter(
        s.DPMSolverMultistepScheduler,
        *TABLES,
        k.noise_std,
        k.log_snr,
        k.timesteps,
        v.sigmas,
        r.dpmpp_2m_sampler,
        o.dpm_solver_1,
        o.dpmpp_sde_2m,
        o.multistep_orders,
        dpmpp_1=o.plus(1),
        dpmpp_2m=o.plus(2),
        dpmpp_3m=o.plus(3),
        conventions=ONE_MORE | {"third_order_curvature": "half"},
    ),
    _adapter(
        s.DPMSolverSinglestepScheduler,
        k.noise_std,
        k.log_snr,
        k.add_noise,
        v.sigmas,
        o.dpmpp_2s,
        o.dpm_solver_2,
        o.dpm_solver_3,
        o.dpm_solver_3_mid,
    ),
    _adapter(
        s.UniPCMultistepScheduler,
        k.noise_std,
        k.log_snr,
        k.timesteps,
        k.add_noise,
        o.multistep_orders,
        dpmpp_1=o.predictor(1),
        dpmpp_2m=o.predictor(2),
        dpmpp_3m=o.predictor(3),
        conventions=ONE_MORE,
    ),
    _adapter(
        s.DEISMultistepScheduler,
        k.noise_std,
        k.log_snr,
        k.timesteps,
        k.add_noise,
        dpm_solver_1=o.deis_1,
        conventions=ONE_MORE,
    ),
    _adapter(
        s.EDMEulerScheduler,
        v.edm_precondition,
        v.karras_sigmas,
        v.exponential_sigmas,
        euler=v.euler_by_edm,
    ),
    _adapter(
        s.EDMDPMSolverMultistepScheduler,
        v.edm_precondition,
        v.karras_sigmas,
        v.exponential_sigmas,
        dpmpp_sde_2m=o.dpmpp_sde_2m_by_edm,
        dpmpp_1=o.edm(1),
        dpmpp_2m=o.edm(2),
        dpmpp_3m=o.edm(3),
        conventions={"third_order_curvature": "half"},
    ),
    _adapter(
        s.FlowMatchEulerDiscreteScheduler,
        v.flow_sigmas,
        v.flow_timesteps,
        v.flow_times,
        v.flow_euler,
        r.flow_euler_sampler,
    ),
    _adapter(s.FlowMatchHeunDiscreteScheduler, v.flow_sigmas, v.flow_heun),
    _adapter(s.ScoreSdeVeScheduler, v.reverse_diffusion_ve, v.langevin_corrector),
    _adapter(ScoreSdeVpScheduler, k.reverse_drift),
    _adapter(
        KarrasVeScheduler,
        heun=v.heun_by_karras_ve,
        edm_heun=v.edm_heun_by_karras_ve,
        exponential_sigmas=v.exponential_sigmas_of_karras_ve,
    ),
)
