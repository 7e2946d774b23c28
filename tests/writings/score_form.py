"""Every family of the oracle, written by one who thinks in the score.

Each prediction is first turned into the score, and each step moves along it. Floats are
those of the inputs: `single` is the same in float32 where nothing is fed.
"""

# ruff: noqa: F401  the functions of an adapter are its attributes

import sys

from tests.writings.score_form_exponential import (
    dpm_solver_1,
    dpm_solver_2,
    dpm_solver_3,
    dpm_solver_3_mid,
    dpmpp_1,
    dpmpp_2m,
    dpmpp_2s,
    dpmpp_3m,
    dpmpp_sde_2m,
)
from tests.writings.score_form_losses import (
    adam_step,
    denoising_loss,
    elbo_terms,
    flow_loss,
    mlp,
    score_matching_loss,
)
from tests.writings.score_form_samplers import (
    dpm_solver_2_order,
    dpm_solver_3_order,
    dpmpp_2m_order,
    dpmpp_2m_sampler,
    euler_order,
    euler_sampler,
    flow_euler_sampler,
    heun_order,
    heun_sampler,
    langevin_sampler,
    pc_sampler,
    samples,
)
from tests.writings.score_form_sde import (
    flow_drift,
    flow_loglik,
    flow_ode_sampler,
    gaussian_flow_loglik,
    hutchinson,
    reverse_drift,
    reverse_sde_sampler,
    sde_coefficients,
    sde_log_snr,
    sde_marginal,
    time_label,
)
from tests.writings.score_form_sigma import (
    annealed_langevin,
    dpm2,
    edm_heun,
    euler,
    euler_ancestral,
    flow_euler,
    flow_heun,
    heun,
    langevin,
    langevin_corrector,
    lms,
    reverse_diffusion_ve,
)
from tests.writings.score_form_steps import (
    add_noise,
    ancestral_vp,
    convert,
    convert_ve,
    ddim,
    ddim_clipped,
    ddim_inverse,
    ddim_sampler,
    ddim_thresholded,
    ddpm,
    ddpm_clipped,
    ddpm_sampler,
    img2img_sampler,
    one_step_forward,
    posterior,
    repaint_known,
    repaint_step,
    reverse_diffusion_vp,
)
from tests.writings.score_form_tables import (
    alpha_bar,
    alpha_bar_prev,
    beta,
    bits_per_dim,
    edm_precondition,
    edm_weight,
    exponential_sigmas,
    flow_label,
    flow_sigmas,
    flow_times,
    flow_timesteps,
    heun_calls,
    karras_log_snr,
    karras_sigmas,
    lcm_timesteps,
    log_snr,
    logit_normal_weight,
    loss_weight,
    multistep_orders,
    noise_std,
    posterior_log_variance,
    posterior_mean_coefficients,
    posterior_variance,
    quadratic_times,
    sigma_timesteps,
    sigmas,
    snr,
    step_index,
    timesteps,
    vp_sigmas,
    zero_snr,
)

name = "score-form"
dtype = "float64"


class single:
    """The same functions, told to compute in float32."""

    name, dtype = "score-form-single", "float32"

    def __getattr__(self, family):
        function = getattr(sys.modules[__name__], family)
        return lambda p: function({**p, "dtype": "float32"})
