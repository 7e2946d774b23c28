"""Wrong forms that several kinds of step have had: levels, readings, lost noise."""

from refdiff.oracle.museum import ancestral
from refdiff.oracle.museum import ddim as of_ddim
from refdiff.oracle.museum import ddpm as of_ddpm
from refdiff.oracle.museum import inverse as of_inverse
from refdiff.oracle.museum import targets as of_targets
from refdiff.oracle.truth.clipping import ddim_clipped, ddpm_clipped, thresholded
from refdiff.oracle.truth.ddim import ddim, inverse
from refdiff.oracle.truth.ddpm import ddpm
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.forward import repaint, repaint_known
from refdiff.oracle.truth.posterior import posterior
from refdiff.oracle.truth.walks import is_last, pair

DIFFUSERS = "https://github.com/huggingface/diffusers/"
LUCIDRAINS = "https://github.com/lucidrains/denoising-diffusion-pytorch/"
STABILITY = "https://github.com/Stability-AI/stablediffusion/"


def beside(step):
    """IDX-05: the step to k - 1, whatever time is visited next."""

    def wrong(p, m):
        k = p["timesteps"][p["index"]]
        return step(p | {"timesteps": [k, k - 1] if k else [k], "index": 0}, m)

    return wrong


def strided(step):
    """The step to k - T // N, which is the next visited time only if N divides T."""

    def wrong(p, m):
        k = p["timesteps"][p["index"]]
        after = k - p["schedule"]["T"] // len(p["timesteps"])
        return step(p | {"timesteps": [k, after] if after >= 0 else [k], "index": 0}, m)

    return wrong


def to_first(step):
    """IDX-03: after the last time alpha_bar[0], not 1; from k = 0 no step at all."""

    def wrong(p, m):
        if not is_last(p):
            raise ValueError("only the last step")
        times = p["timesteps"]
        change = {"timesteps": [*times, 0]}
        if times[-1] == 0:  # 1 - a/b = 0, which rounding might make negative
            change |= {"eta": 0}
        return step(p | change, m)

    return wrong


def _repaint_to_first(p, m):
    """The same of RePaint; from k = 0 the denoised half stays where it is."""
    if p["timesteps"][-1] > 0:
        return to_first(repaint)(p, m)
    known = to_first(repaint_known)(p, m)["x_prev"]
    return {"x_prev": p["mask"] * known + (1 - p["mask"]) * p["x"]}


def _boxed(step):
    """PAR-10: x0_hat kept in -1..1 though nobody asked."""
    return lambda p, m: step(p | {"clip": m.number(1.0)}, m)


def _no_noise(step):
    """VAR-12: the noise never added, the mean as it was at eta = 0."""
    return lambda p, m: step(p | {"eta": 0, "z": 0 * p["z"]}, m)


def _patched(p, m):
    """NUM-07: a tiny alpha_bar in place of 0."""
    a, b = pair(p, m)
    if a != 0:
        raise ValueError("alpha_bar is above 0")
    return m.number(of_targets.TINY), b


def readings():
    """Every wrong reading of the output, wherever an output is read."""
    for name, _, wrong, right in of_targets.READINGS:
        families = {
            "ddim": of_ddim.READ[name],
            "ddim_inverse": of_inverse.READ[name],
            "ddpm": of_ddpm.READ[name],
            "convert": of_ddim.CONVERT[name],
            "convert_ve": of_ddim.CONVERT[name],
        }
        for family in UNTOUCHED.get(name, ()):
            del families[family]
        yield Exhibit(name, families, wrong, right, "", "synthetic")


UNTOUCHED = {  # where a wrong reading changes nothing: no v, signal = 1, eps not read
    **dict.fromkeys(
        (
            "SYN-v-sign",
            "SYN-v-swapped",
            "SYN-v-as-eps",
            "SYN-v-as-x0",
            "SYN-x0-not-divided",
            "SYN-x0-by-alpha-bar",
            "SYN-read-signal-unrooted",
        ),
        ("convert_ve",),
    ),
    "SYN-eps-not-divided": ("ddpm",),
}
EXHIBITS = (
    Exhibit(
        "IDX-02",
        {"ddim": of_ddim.step(levels=of_ddim.earlier)},
        "the table of previous alpha_bar read where alpha_bar belongs",
        "alpha_bar of each visited time, the last pair being (first time, clean)",
        LUCIDRAINS + "pull/83",
        "A",
    ),
    Exhibit(
        "final_alpha_bar=first",
        {
            "ddim": to_first(ddim),
            "ddim_inverse": to_first(inverse),
            "ddim_clipped": to_first(ddim_clipped),
            "ddim_thresholded": to_first(thresholded),
            "repaint_known": to_first(repaint_known),
            "repaint_step": _repaint_to_first,
        },
        "after the last time alpha_bar is alpha_bar[0] (IDX-03)",
        "after the last time alpha_bar is 1",
        STABILITY + "pull/345",
        "convention",
    ),
    Exhibit(
        "IDX-05",
        {"ddpm": beside(ddpm), "posterior": beside(posterior), "ddim": beside(ddim)},
        "the step to t - 1 by beta[t], when steps are skipped",
        "to the next visited time, by a/b",
        DIFFUSERS + "pull/1912",
        "A",
    ),
    Exhibit(
        "SYN-fixed-stride",
        {
            "ddim": strided(ddim),
            "ddim_inverse": strided(inverse),
            "ddim_clipped": strided(ddim_clipped),
            "ddim_thresholded": strided(thresholded),
            "ddpm": strided(ddpm),
            "ddpm_clipped": strided(ddpm_clipped),
            "posterior": strided(posterior),
            "repaint_known": strided(repaint_known),
            "repaint_step": strided(repaint),
        },
        "the step to t - T // N, beside the list's next time if N does not divide T",
        "to the next visited time",
        "",
        "synthetic",
    ),
    Exhibit(
        "IDX-17",
        {
            "ddim": of_ddim.twice(of_ddim.step()),
            "ddpm": of_ddim.twice(ancestral.step()),
        },
        "the step made twice",
        "once",
        "https://github.com/fastai/diffusion-nbs/pull/49",
        "A",
    ),
    Exhibit(
        "VAR-09",
        {
            "ddim": of_ddim.step(levels=of_ddim.one_alpha),
            **ancestral.both(levels=of_ddim.one_alpha),
        },
        "one step's alpha where the next alpha_bar belongs",
        "alpha_bar",
        "https://github.com/Nerogar/OneTrainer/pull/1118",
        "A",
    ),
    Exhibit(
        "VAR-12",
        {"ddim": _no_noise(ddim), "ddpm": _no_noise(ddpm)},
        "no noise is added, whatever eta or the variance",
        "noise of the variance asked for",
        "https://github.com/divamgupta/stable-diffusion-tensorflow/issues/21",
        "C",
    ),
    Exhibit(
        "PAR-01",
        {"ddim": of_ddim.step(read=of_targets.x0_as_eps)},
        "x0-prediction used as it is where eps belongs",
        "eps = (x - sqrt(a) x0) / sqrt(1 - a)",
        DIFFUSERS + "pull/2094",
        "A",
    ),
    Exhibit(
        "PAR-10",
        {"ddim": _boxed(ddim_clipped), "ddpm": _boxed(ddpm_clipped)},
        "x0_hat clipped though the data reach further",
        "no clipping unless asked",
        "https://github.com/kohya-ss/sd-scripts/issues/1432",
        "B",
    ),
    Exhibit(
        "NUM-07",
        {
            "ddim": of_ddim.step(levels=_patched),
            "ddpm": ancestral.step(levels=_patched),
            "convert": of_targets.patched,
        },
        "alpha_bar = 0 patched to 2^-24",
        "x0 and v as they are at alpha_bar = 0; eps and the score refused",
        DIFFUSERS + "pull/6024",
        "A",
    ),
    *(
        Exhibit(
            f"SYN-{name}",
            {"ddpm": ancestral.step(levels=f), "posterior": ancestral.law(levels=f)},
            wrong,
            right,
            "",
            "synthetic",
        )
        for name, f, wrong, right in (
            ("ddpm-late", of_ddim.later, "tables counted from 1", "k = 0..T-1"),
            ("ddpm-early", of_ddim.earlier, "every entry one early", "k = 0..T-1"),
        )
    ),
    *readings(),
)
