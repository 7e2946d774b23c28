"""What the check found in diffusers' solvers, by hand: NumPy beside diffusers alone.

A test passes while the released library differs; once it fails, a newer release has
mended the thing, and the finding is to be struck from the table.
"""

import numpy as np
import pytest
import torch
from diffusers import schedulers as s

from .hand import EPS, X, alpha_bar, noise, still, t32

# torch and NumPy warn of each other inside of diffusers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FLOWS = (s.FlowMatchEulerDiscreteScheduler, s.FlowMatchHeunDiscreteScheduler)


@pytest.mark.parametrize("cls", FLOWS)
def test_flow_matching_shifts_its_last_level_twice(cls):
    """The bounds are stored after the shift, and shifted again by set_timesteps."""
    one = cls(shift=3.0)
    one.set_timesteps(28)
    s_1 = 1 / 1000
    right = 3 * s_1 / (1 + 2 * s_1)
    still(float(one.sigmas[-2]), right)
    assert np.isclose(float(one.sigmas[-2]), 3 * right / (1 + 2 * right))


SIGMAS = np.array([14.5, 8.0, 4.25, 2.0, 1.0])


def _on(cls, sigmas=SIGMAS, **config):
    """A scheduler of the DPM family at these sigmas, as Karras's would come in."""
    one = cls(use_karras_sigmas=True, prediction_type="sample", **config)
    one._convert_to_karras = lambda in_sigmas, num_inference_steps: sigmas
    one.set_timesteps(len(sigmas))
    one.set_begin_index(0)
    return one


def _exact_third(x, said, lam, nodes, start, end, eta):
    """The exact integral, by quadrature, of the parabola through three x0_hat.

    x / signal falls, over the rise of lambda, by e^(-(1 + eta) h) of noise / signal.
    """
    h, rate = lam[end] - lam[start], 1.0 + eta
    u, weight = np.polynomial.legendre.leggauss(40)
    u, weight = (u + 1) / 2 * h, weight / 2 * h
    parabola = np.polyfit(np.array([lam[i] - lam[start] for i in nodes]), said, 2)
    inner = np.sum(weight * rate * np.exp(-rate * (h - u)) * np.polyval(parabola, u))
    sigma = np.exp(-lam)
    signal = 1 / np.sqrt(1 + sigma**2)
    std = sigma * signal
    shrink = std[end] / std[start] * np.exp(-eta * h)
    return shrink * x + signal[end] * inner


SAID = [0.5, -0.25, 1.0]
X0 = 2.0


def _third_multistep(cls, said=SAID, x=X0, sigmas=SIGMAS, **config):
    """The third step of the multistep solver, from x = 2."""
    one = _on(cls, sigmas, solver_order=3, lower_order_final=False, **config)
    with noise(cls, [[0.0]]):
        for y, t in zip(said, one.timesteps, strict=False):
            last = one.step(t32([[y]]), t, t32([[x]])).prev_sample
    return float(last)


def _third_singlestep(**config):
    """The end of a step of three calls from x = 2."""
    cls = s.DPMSolverSinglestepScheduler
    one = _on(cls, solver_order=3, solver_type="heun", **config)
    one.order_list = [1, 2, 3, 1, 1]
    with noise(cls, [[0.0]]):
        for y, t in zip(SAID, one.timesteps, strict=False):
            last = one.step(t32([[y]]), t, t32([[X0]])).prev_sample
    return float(last)


LAM = -np.log(SIGMAS)


def test_the_third_order_multistep_has_half_the_curvature():
    """UniPC's predictor integrates the parabola exactly; DPM-Solver++(3M) half of it."""
    right = _exact_third(X0, SAID, LAM, [0, 1, 2], 2, 3, 0.0)
    unipc = _third_multistep(
        s.UniPCMultistepScheduler, disable_corrector=list(range(9))
    )
    assert np.isclose(unipc, right, rtol=1e-5)
    still(_third_multistep(s.DPMSolverMultistepScheduler), right)


def _end_error(cls, n, **config):
    """Error of a run on N(1.5, 0.25), whose flow is known, n steps from 8 to 1/4."""
    m, v, sigmas = 1.5, 0.25, np.geomspace(8, 0.25, n + 1)
    one = _on(cls, sigmas, solver_order=3, lower_order_final=False, **config)
    one.sigmas = torch.tensor([*sigmas, 0.01], dtype=torch.float64)
    x = 16.0
    for q, r, t in zip(sigmas, sigmas[1:], one.timesteps, strict=False):
        x0 = m + v / (v + q**2) * (x - m)
        y = torch.tensor([[x / np.hypot(1, q)]], dtype=torch.float64)
        said = torch.tensor([[x0]], dtype=torch.float64)
        x = float(one.step(said, t, y).prev_sample) * np.hypot(1, r)
    exact = m + (16 - m) * np.sqrt((v + sigmas[-1] ** 2) / (v + sigmas[0] ** 2))
    return abs(x - exact)


def _order(cls, **config):
    return np.log2(_end_error(cls, 32, **config) / _end_error(cls, 64, **config))


def test_so_its_order_is_nearer_to_2_than_to_3():
    """2.5 and falling at 32 to 64 steps, where UniPC's predictor has 3.5."""
    unipc = _order(s.UniPCMultistepScheduler, disable_corrector=list(range(99)))
    assert unipc > 3
    assert _order(s.DPMSolverMultistepScheduler) < 2.6


SDE = {"algorithm_type": "sde-dpmsolver++"}


def test_the_third_order_sde_solver_differs_in_the_curvature_alone():
    """x0_hat that is linear in log-SNR is integrated exactly; the parabola is not."""
    cls, nodes = s.DPMSolverMultistepScheduler, [0, 1, 2]
    line = (1 + 0.5 * LAM[:3]).tolist()
    right = _exact_third(X0, line, LAM, nodes, 2, 3, 1.0)
    assert np.isclose(_third_multistep(cls, line, **SDE), right, rtol=1e-5)
    right = _exact_third(X0, SAID, LAM, nodes, 2, 3, 1.0)
    still(_third_multistep(cls, **SDE), right)


def test_whose_weight_has_the_wrong_sign_and_goes_to_minus_1_with_the_step():
    """(1 - e^-H - H) / H^2 tends to -1/2, and 1/2 is subtracted where it is due.

    The right weight of ((lambda - lambda_s) / h)^2 goes to 0 as 2 h / 3.
    """
    sigmas = 4.0 / 1.02 ** np.arange(5)
    lam, h = -np.log(sigmas), np.log(1.02)
    said = (((lam[:3] - lam[2]) / h) ** 2).tolist()
    signal = 1 / np.hypot(1, sigmas[3])
    cls = s.DPMSolverMultistepScheduler
    theirs = _third_multistep(cls, said, 0.0, sigmas, **SDE) / signal
    right = _exact_third(0.0, said, lam, [0, 1, 2], 2, 3, 1.0) / signal
    assert np.isclose(right, 2 * h / 3, rtol=0.03)
    assert np.isclose(theirs, -1.0, atol=0.03)


def test_so_has_the_single_step_one():
    """All three forms agree in the deterministic solver, whose sign is right."""
    right = _exact_third(X0, SAID, LAM, [0, 1, 2], 0, 3, 0.0)
    assert np.isclose(_third_singlestep(), right, rtol=1e-5)
    right = _exact_third(X0, SAID, LAM, [0, 1, 2], 0, 3, 1.0)
    still(_third_singlestep(**SDE), right)


def test_edm_sde_of_order_3_raises_in_its_third_step():
    """multistep_dpm_solver_third_order_update has no branch for it."""
    one = s.EDMDPMSolverMultistepScheduler(solver_order=3, **SDE)
    one.set_timesteps(20)
    x = t32(X)
    with pytest.raises(UnboundLocalError):
        for t in one.timesteps[:3]:
            x = one.step(t32(EPS), t, x).prev_sample


def test_euler_with_churn_reads_v_at_the_level_before_the_noise():
    """eps and v that say the same of x_hat give different steps."""
    sigma, gamma = 2.0, np.sqrt(2) - 1
    hat = sigma * (1 + gamma)
    x_hat = X + np.sqrt(hat**2 - sigma**2)
    v = (EPS - hat * (x_hat - hat * EPS)) / np.sqrt(1 + hat**2)
    found = {}
    for kind, said in (("epsilon", EPS), ("v_prediction", v)):
        one = s.EulerDiscreteScheduler(prediction_type=kind)
        one.set_timesteps(sigmas=[sigma, 1.0, 0.0])
        one.set_begin_index(0)
        with noise(s.EulerDiscreteScheduler, np.ones((1, 2))):
            step = one.step(t32(said), one.timesteps[0], t32(X), s_churn=9.0)
        found[kind] = step.prev_sample.numpy()
    right = x_hat + (1.0 - hat) * EPS
    assert np.allclose(found["epsilon"], right, rtol=1e-5)
    still(found["v_prediction"], right)


def test_log_linear_levels_of_euler_are_not_those_of_its_times():
    """N + 1 levels even in log go with N times even in k: the model is misinformed.

    Of 5 steps the fourth is told 249.75 at the level of k = 138, and the last ends at
    the smallest level and not at 0.
    """
    one = s.EulerDiscreteScheduler(interpolation_type="log_linear")
    one.set_timesteps(5)
    table = np.sqrt((1 - alpha_bar()) / alpha_bar())
    level, told = float(one.sigmas[3]), float(one.timesteps[3])
    right = np.interp(np.log(level), np.log(table), np.arange(1000))
    still(told, right)
    assert np.isclose(right, 138.05, atol=0.1) and np.isclose(told, 249.75)
    assert np.isclose(float(one.sigmas[len(one.timesteps)]), table[0], rtol=1e-3)


def test_exponential_times_of_the_dpm_solver_are_cut_where_karras_are_rounded():
    """The level of k = 721.57 is told as 721."""
    one = s.DPMSolverMultistepScheduler(use_exponential_sigmas=True)
    one.set_timesteps(5)
    table = np.sqrt((1 - alpha_bar()) / alpha_bar())
    sigma = np.log(one.sigmas[:-1].numpy())
    right = np.round(np.interp(sigma, np.log(table), np.arange(1000)))
    assert one.timesteps.tolist()[1] == right[1] - 1 == 721


def test_karras_levels_of_a_flow_are_read_as_ratios():
    """1 - sigma is negative at sigma = 157; UniPC divides by 1 + sigma first."""
    how = {"use_karras_sigmas": True, "use_flow_sigmas": True}
    found = {}
    for cls in (s.DPMSolverMultistepScheduler, s.UniPCMultistepScheduler):
        one = cls(prediction_type="flow_prediction", **how)
        one.set_timesteps(5)
        found[cls] = float(one.sigmas[0])
    assert found[s.DPMSolverMultistepScheduler] > 100
    assert found[s.UniPCMultistepScheduler] < 1


def test_kdpm2_ancestral_takes_roots_of_less_than_0_on_the_cosine():
    """sigma_up is rounded to more than sigma_to: for N = 2 to 9, and 10 on some processors.

    What float32 rounds is the processor's.
    """
    lost = []
    for n in range(2, 13):
        one = s.KDPM2AncestralDiscreteScheduler(beta_schedule="squaredcos_cap_v2")
        one.set_timesteps(n)
        if torch.isnan(one.timesteps).any():
            lost.append(n)
    assert lost
    assert max(lost) <= 10


def _churned_law(n, churn):
    """Mean and variance at the end of FlowMatchHeun on N(1.5, 0.25), exactly.

    A step is affine in x and z, so its three numbers come from three runs of it.
    """
    m, v, mean, var = 1.5, 0.25, 0.0, 1.0
    one = s.FlowMatchHeunDiscreteScheduler()
    one.set_timesteps(n)
    levels = [*dict.fromkeys(one.sigmas.tolist())]
    for i in range(n):
        at_0, at_x, at_z = (
            _flow_step(one, i, levels, x, z, churn, m, v)
            for x, z in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
        )
        a, c = at_x - at_0, at_z - at_0
        mean, var = a * mean + at_0, a**2 * var + c**2
    return mean, var


def _flow_step(one, i, levels, x, z, churn, m, v):
    one.set_begin_index(2 * i)
    one._step_index, one.dt = None, None
    for stage in (0, 1)[: 1 if levels[i + 1] == 0 else 2]:
        q = levels[i + stage]
        x0 = m + v * (1 - q) / ((1 - q) ** 2 * v + q**2) * (x - (1 - q) * m)
        said = torch.tensor([[(x - x0) / q]], dtype=torch.float64)
        given = np.array([[z if stage == 0 else 0.0]])
        with noise(type(one), given):
            y = torch.tensor([[x]], dtype=torch.float64)
            t = one.timesteps[2 * i + stage - (i > 0 and stage == 0)]
            x = float(one.step(said, t, y, s_churn=churn).prev_sample)
    return x


def test_churn_in_flow_matching_does_not_keep_the_law():
    """Noise is added as if the signal's factor were 1: the mean ends at 2.9, not 1.5.

    More steps do not mend it; without churn the run is right.
    """
    assert np.allclose(_churned_law(100, 0.0), (1.5, 0.25), rtol=0.01)
    few, many = _churned_law(50, 10.0), _churned_law(200, 10.0)
    assert np.allclose(few, many, rtol=0.2)
    still(many[0], 1.5, 0.8)


@pytest.mark.parametrize("n", [2, 5, 8, 11, 14, 17])
def test_single_step_order_3_is_finite_where_it_once_was_not(n):
    """NUM-06 is mended: 3n - 1 steps no longer take one of order 2 to sigma = 0."""
    one = s.DPMSolverSinglestepScheduler(solver_order=3, lower_order_final=True)
    one.set_timesteps(n)
    x = t32(X)
    for t in one.timesteps:
        x = one.step(t32(EPS), t, x).prev_sample
    assert torch.isfinite(x).all()
