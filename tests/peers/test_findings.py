"""What the check found in diffusers' tables and steps, by hand: NumPy beside diffusers.

A test passes while the released library differs; once it fails, a newer release has
mended the thing, and the finding is to be struck from the table.
"""

import numpy as np
import pytest
import torch
from diffusers import schedulers as s
from diffusers.schedulers.deprecated.scheduling_karras_ve import KarrasVeScheduler

from .hand import EPS, X, alpha_bar, noise, still, t32

# torch and NumPy warn of each other inside of diffusers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _ddim_by_hand(a, b):
    """DDIM with eta = 0 from alpha_bar = a to b."""
    x0 = (X - np.sqrt(1 - a) * EPS) / np.sqrt(a)
    return np.sqrt(b) * x0 + np.sqrt(1 - b) * EPS


@pytest.mark.parametrize("cls", [s.DDIMScheduler, s.DDIMParallelScheduler])
@pytest.mark.parametrize("spacing, index", [("linspace", 0), ("trailing", 6)])
def test_ddim_steps_by_a_fixed_stride_and_not_to_the_next_of_its_list(
    cls, spacing, index
):
    """T // N = 142 back from 999 is 857, where the next of the list is 832.

    The last of the trailing list, 142, goes to 0 and not to alpha_bar = 1.
    """
    one = cls(timestep_spacing=spacing, clip_sample=False)
    one.set_timesteps(7)
    k = one.timesteps.tolist()
    then = np.append(alpha_bar()[k], 1.0)[index + 1]
    right = _ddim_by_hand(alpha_bar()[k[index]], then)
    theirs = one.step(t32(EPS), k[index], t32(X)).prev_sample.numpy()
    still(theirs, right)
    stride = _ddim_by_hand(alpha_bar()[k[index]], alpha_bar()[k[index] - 142])
    assert np.allclose(theirs, stride, rtol=1e-3)


@pytest.mark.parametrize("cls", [s.DDIMInverseScheduler, s.PNDMScheduler])
def test_inversion_and_pndm_have_the_same_stride(cls):
    """428 - 142 = 286, where the list has 285. PNDM's first step is one of DDIM."""
    up = cls is s.DDIMInverseScheduler
    rest = {"clip_sample": False} if up else {"skip_prk_steps": True}
    one = cls(timestep_spacing="trailing", **rest)
    one.set_timesteps(7)
    k = sorted(set(one.timesteps.tolist()))
    assert k[1:3] == [285, 428]
    a, b = (alpha_bar()[k[i]] for i in ((1, 2) if up else (2, 1)))
    step = one.step if up else one.step_plms
    theirs = step(t32(EPS), 428, t32(X)).prev_sample.numpy()
    still(theirs, _ddim_by_hand(a, b), 3e-4)


LISTED = (
    s.DDIMScheduler,
    s.DDPMScheduler,
    s.PNDMScheduler,
    s.EulerDiscreteScheduler,
    s.EulerAncestralDiscreteScheduler,
    s.HeunDiscreteScheduler,
    s.LMSDiscreteScheduler,
    s.DPMSolverMultistepScheduler,
    s.UniPCMultistepScheduler,
    s.DEISMultistepScheduler,
)


@pytest.mark.parametrize("cls", LISTED)
def test_a_trailing_list_of_61_steps_has_62_and_ends_in_minus_1(cls):
    """arange(1000, 0, -1000/61) overshoots, by rounding, to an entry of 1e-13."""
    alone = {"skip_prk_steps": True} if cls is s.PNDMScheduler else {}
    one = cls(timestep_spacing="trailing", **alone)
    one.set_timesteps(61)
    theirs = sorted(set(one.timesteps.tolist()))
    right = np.round(1000 - np.arange(61) * 1000 / 61) - 1
    assert len(right) == 61 and right.min() >= 0
    assert (len(theirs), theirs[0]) == (62, -1)


def test_sixty_two_of_a_thousand_trailing_lists_are_too_long():
    long = [n for n in range(1, 1001) if _length(n) != n]
    assert len(long) == 62 and long[:4] == [61, 103, 121, 122]


def _length(n):
    one = s.DDIMScheduler(timestep_spacing="trailing")
    one.set_timesteps(n)
    return len(one.timesteps)


def test_at_minus_1_ddim_reads_the_noisiest_level_of_all():
    """alphas_cumprod[-1] is that of 999, so x0_hat is 1/sqrt(4e-5) = 157 times off."""
    one = s.DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
    one.set_timesteps(61)
    theirs = one.step(t32(EPS), -1, t32(X)).prev_sample.numpy()
    assert np.allclose(theirs, _ddim_by_hand(alpha_bar()[-1], 1.0), rtol=1e-3)
    assert np.abs(theirs).max() > 100


@pytest.mark.parametrize("cls", [s.DDPMScheduler, s.DDPMParallelScheduler])
def test_ddpm_adds_noise_in_its_last_step_unless_that_is_at_0(cls):
    """It asks t > 0; after a trailing list's last, 142, alpha_bar is 1: x0 itself.

    The noise left has the std sqrt(1 - alpha_bar[142]) = 0.44.
    """
    one = cls(
        timestep_spacing="trailing", clip_sample=False, variance_type="fixed_large"
    )
    one.set_timesteps(7)
    a = alpha_bar()[142]
    right = (X - np.sqrt(1 - a) * EPS) / np.sqrt(a)
    with noise(cls, np.ones((1, 2))):
        theirs = one.step(t32(EPS), 142, t32(X)).prev_sample.numpy()
    still(theirs, right)
    assert np.allclose(theirs - right, np.sqrt(1 - a), rtol=1e-4)
    assert np.isclose(np.sqrt(1 - a), 0.44, atol=0.005)


@pytest.mark.parametrize("cls", [s.DDPMScheduler, s.DDPMParallelScheduler])
def test_ddpm_with_fixed_large_log_is_not_a_number(cls):
    """The root is taken of log beta, which is negative."""
    one = cls(variance_type="fixed_large_log", clip_sample=False)
    theirs = one.step(t32(EPS), 500, t32(X)).prev_sample
    assert torch.isnan(theirs).all()


@pytest.mark.parametrize("cls", [s.DDIMScheduler, s.DDPMScheduler])
def test_eps_at_zero_terminal_snr_is_infinite_without_a_word(cls):
    """At alpha_bar = 0, x is the noise itself and eps says nothing of x0."""
    one = cls(rescale_betas_zero_snr=True, clip_sample=False)
    one.set_timesteps(1000)
    theirs = one.step(t32(EPS), 999, t32(X)).prev_sample
    assert not torch.isfinite(theirs).any()


DPMS = (
    s.DPMSolverMultistepScheduler,
    s.DPMSolverSinglestepScheduler,
    s.DEISMultistepScheduler,
    s.UniPCMultistepScheduler,
)


@pytest.mark.parametrize("cls", DPMS)
def test_add_noise_before_set_timesteps_noises_to_the_wrong_end(cls):
    """The table of sigmas rises and the list of timesteps falls: 10 is read as 989."""
    one = cls()
    theirs = one.add_noise(t32(X), t32(EPS), torch.tensor([10])).numpy()
    a, b = alpha_bar()[[10, 989]]
    still(theirs, np.sqrt(a) * X + np.sqrt(1 - a) * EPS)
    assert np.allclose(theirs, np.sqrt(b) * X + np.sqrt(1 - b) * EPS, rtol=1e-3)


@pytest.mark.parametrize("n, k, ratio", [(250, 0, 5.2), (50, 0, 57.7), (50, 500, 1.03)])
def test_repaint_goes_back_up_by_the_betas_of_later_times(n, k, ratio):
    """After the step at k, x is at k - T/N, and its pipeline calls undo_step(x, k).

    Back at k the noise's share is 1 - alpha_bar[k] / alpha_bar[k - T/N]; the betas
    used are those of k to k + T/N - 1.
    """
    one = s.RePaintScheduler()
    one.set_timesteps(n)
    with noise(s.RePaintScheduler, [[0.0]]):
        kept = float(one.undo_step(t32([[1.0]]), k)) ** 2
    stride = 1000 // n
    below = alpha_bar()[k - stride] if k >= stride else 1.0
    right = 1 - alpha_bar()[k] / below
    still(1 - kept, right, 0.02)
    assert np.isclose((1 - kept) / right, ratio, rtol=0.02)


def test_karras_ve_squares_its_levels():
    """The list runs from sigma_max^2 = 10^4, and x starts with std sigma_max = 100."""
    one = KarrasVeScheduler()
    one.set_timesteps(50)
    first = float(one.schedule[one.timesteps[0]])
    assert one.init_noise_sigma == 100
    still(first, one.init_noise_sigma)
    assert np.isclose(first, 1e4)


def test_edm_exponential_levels_of_one_step_start_at_the_smallest():
    """The list from small to large is turned: of one entry it is sigma_min."""
    one = s.EDMEulerScheduler(sigma_schedule="exponential")
    one.set_timesteps(1)
    still(float(one.sigmas[0]), 80.0)
    assert np.isclose(float(one.sigmas[0]), 0.002)


MANY = (
    s.EulerDiscreteScheduler,
    s.HeunDiscreteScheduler,
    s.LMSDiscreteScheduler,
    s.DPMSolverMultistepScheduler,
)


@pytest.mark.parametrize("cls", MANY)
def test_more_steps_than_times_are_given_the_same_time_again_and_again(cls):
    """1000 // 1001 = 0: 1001 times 0. DDPM and DDIM refuse it."""
    one = cls(timestep_spacing="leading")
    one.set_timesteps(1001)
    assert set(one.timesteps.tolist()) == {0}
    with pytest.raises(ValueError, match="cannot be larger"):
        s.DDIMScheduler().set_timesteps(1001)
