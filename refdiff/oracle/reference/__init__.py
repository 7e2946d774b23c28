"""refdiff itself as the first adapter: one function for each family of the oracle."""

from refdiff.oracle.reference.langevin import ancestral_vp as ancestral_vp
from refdiff.oracle.reference.langevin import annealed_langevin as annealed_langevin
from refdiff.oracle.reference.langevin import langevin as langevin
from refdiff.oracle.reference.langevin import langevin_corrector as langevin_corrector
from refdiff.oracle.reference.langevin import (
    reverse_diffusion_ve as reverse_diffusion_ve,
)
from refdiff.oracle.reference.langevin import (
    reverse_diffusion_vp as reverse_diffusion_vp,
)
from refdiff.oracle.reference.laws import ddim_sampler as ddim_sampler
from refdiff.oracle.reference.laws import ddpm_sampler as ddpm_sampler
from refdiff.oracle.reference.laws import dpm_solver_2_order as dpm_solver_2_order
from refdiff.oracle.reference.laws import dpm_solver_3_order as dpm_solver_3_order
from refdiff.oracle.reference.laws import dpmpp_2m_order as dpmpp_2m_order
from refdiff.oracle.reference.laws import dpmpp_2m_sampler as dpmpp_2m_sampler
from refdiff.oracle.reference.laws import euler_order as euler_order
from refdiff.oracle.reference.laws import euler_sampler as euler_sampler
from refdiff.oracle.reference.laws import flow_euler_sampler as flow_euler_sampler
from refdiff.oracle.reference.laws import flow_ode_sampler as flow_ode_sampler
from refdiff.oracle.reference.laws import heun_order as heun_order
from refdiff.oracle.reference.laws import heun_sampler as heun_sampler
from refdiff.oracle.reference.laws import img2img_sampler as img2img_sampler
from refdiff.oracle.reference.laws import langevin_sampler as langevin_sampler
from refdiff.oracle.reference.laws import pc_sampler as pc_sampler
from refdiff.oracle.reference.laws import reverse_sde_sampler as reverse_sde_sampler
from refdiff.oracle.reference.laws import samples as samples
from refdiff.oracle.reference.sdes import bits_per_dim as bits_per_dim
from refdiff.oracle.reference.sdes import elbo_terms as elbo_terms
from refdiff.oracle.reference.sdes import flow_drift as flow_drift
from refdiff.oracle.reference.sdes import flow_loglik as flow_loglik
from refdiff.oracle.reference.sdes import gaussian_flow_loglik as gaussian_flow_loglik
from refdiff.oracle.reference.sdes import hutchinson as hutchinson
from refdiff.oracle.reference.sdes import reverse_drift as reverse_drift
from refdiff.oracle.reference.sdes import sde_coefficients as sde_coefficients
from refdiff.oracle.reference.sdes import sde_log_snr as sde_log_snr
from refdiff.oracle.reference.sdes import sde_marginal as sde_marginal
from refdiff.oracle.reference.sdes import time_label as time_label
from refdiff.oracle.reference.solvers import dpm2 as dpm2
from refdiff.oracle.reference.solvers import dpm_solver_1 as dpm_solver_1
from refdiff.oracle.reference.solvers import dpm_solver_2 as dpm_solver_2
from refdiff.oracle.reference.solvers import dpm_solver_3 as dpm_solver_3
from refdiff.oracle.reference.solvers import dpm_solver_3_mid as dpm_solver_3_mid
from refdiff.oracle.reference.solvers import dpmpp_1 as dpmpp_1
from refdiff.oracle.reference.solvers import dpmpp_2m as dpmpp_2m
from refdiff.oracle.reference.solvers import dpmpp_2s as dpmpp_2s
from refdiff.oracle.reference.solvers import dpmpp_3m as dpmpp_3m
from refdiff.oracle.reference.solvers import dpmpp_sde_2m as dpmpp_sde_2m
from refdiff.oracle.reference.solvers import edm_heun as edm_heun
from refdiff.oracle.reference.solvers import euler as euler
from refdiff.oracle.reference.solvers import euler_ancestral as euler_ancestral
from refdiff.oracle.reference.solvers import flow_euler as flow_euler
from refdiff.oracle.reference.solvers import flow_heun as flow_heun
from refdiff.oracle.reference.solvers import flow_label as flow_label
from refdiff.oracle.reference.solvers import heun as heun
from refdiff.oracle.reference.solvers import heun_calls as heun_calls
from refdiff.oracle.reference.solvers import lms as lms
from refdiff.oracle.reference.solvers import multistep_orders as multistep_orders
from refdiff.oracle.reference.steps import add_noise as add_noise
from refdiff.oracle.reference.steps import convert as convert
from refdiff.oracle.reference.steps import convert_ve as convert_ve
from refdiff.oracle.reference.steps import ddim as ddim
from refdiff.oracle.reference.steps import ddim_clipped as ddim_clipped
from refdiff.oracle.reference.steps import ddim_inverse as ddim_inverse
from refdiff.oracle.reference.steps import ddim_thresholded as ddim_thresholded
from refdiff.oracle.reference.steps import ddpm as ddpm
from refdiff.oracle.reference.steps import ddpm_clipped as ddpm_clipped
from refdiff.oracle.reference.steps import one_step_forward as one_step_forward
from refdiff.oracle.reference.steps import posterior as posterior
from refdiff.oracle.reference.steps import (
    posterior_log_variance as posterior_log_variance,
)
from refdiff.oracle.reference.steps import (
    posterior_mean_coefficients as posterior_mean_coefficients,
)
from refdiff.oracle.reference.steps import posterior_variance as posterior_variance
from refdiff.oracle.reference.steps import repaint_known as repaint_known
from refdiff.oracle.reference.steps import repaint_step as repaint_step
from refdiff.oracle.reference.tables import alpha_bar as alpha_bar
from refdiff.oracle.reference.tables import alpha_bar_prev as alpha_bar_prev
from refdiff.oracle.reference.tables import beta as beta
from refdiff.oracle.reference.tables import edm_precondition as edm_precondition
from refdiff.oracle.reference.tables import edm_weight as edm_weight
from refdiff.oracle.reference.tables import exponential_sigmas as exponential_sigmas
from refdiff.oracle.reference.tables import flow_sigmas as flow_sigmas
from refdiff.oracle.reference.tables import flow_times as flow_times
from refdiff.oracle.reference.tables import flow_timesteps as flow_timesteps
from refdiff.oracle.reference.tables import karras_log_snr as karras_log_snr
from refdiff.oracle.reference.tables import karras_sigmas as karras_sigmas
from refdiff.oracle.reference.tables import lcm_timesteps as lcm_timesteps
from refdiff.oracle.reference.tables import log_snr as log_snr
from refdiff.oracle.reference.tables import logit_normal_weight as logit_normal_weight
from refdiff.oracle.reference.tables import loss_weight as loss_weight
from refdiff.oracle.reference.tables import noise_std as noise_std
from refdiff.oracle.reference.tables import quadratic_times as quadratic_times
from refdiff.oracle.reference.tables import sigma_timesteps as sigma_timesteps
from refdiff.oracle.reference.tables import sigmas as sigmas
from refdiff.oracle.reference.tables import snr as snr
from refdiff.oracle.reference.tables import step_index as step_index
from refdiff.oracle.reference.tables import timesteps as timesteps
from refdiff.oracle.reference.tables import vp_sigmas as vp_sigmas
from refdiff.oracle.reference.tables import zero_snr as zero_snr

name = "refdiff"
dtype = "float64"
conventions: dict = {}
from refdiff.oracle.reference.losses import adam_step as adam_step
from refdiff.oracle.reference.losses import denoising_loss as denoising_loss
from refdiff.oracle.reference.losses import flow_loss as flow_loss
from refdiff.oracle.reference.losses import mlp as mlp
from refdiff.oracle.reference.losses import score_matching_loss as score_matching_loss
