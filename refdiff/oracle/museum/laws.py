"""Wrong whole samplers on a schedule."""

from refdiff.oracle.truth import laws_vp
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.laws import drive, heard
from refdiff.oracle.truth.laws_vp import asked_of, ddim_step, ddpm_step, levels_of
from refdiff.oracle.truth.mixtures import output, x0_eps
from refdiff.oracle.truth.schedules import alpha_bar_of

GITHUB = "https://github.com/"


def vp(step, levels=levels_of, asked=asked_of, change=lambda p: p):
    """A sampler on a schedule, with another step, other levels, or another problem."""

    def wrong(p, m):
        p, at = change(p), levels(p, m)
        return drive(p, m, step, at, heard(p, m, at, asked(p, m)))

    return wrong


def twice(step):
    """IDX-17: each step made twice, with the same output and noise."""

    def both(p, i, x, say, levels, m):
        y = output(p, x, *levels[i], m)

        def stuck(x, j):
            return x0_eps(p, x, y, *levels[j], m)

        return step(p, i, step(p, i, x, stuck, levels, m), stuck, levels, m)

    return both


def _final_first(p, m):
    a = alpha_bar_of(p["schedule"], m)[0]
    return [*levels_of(p, m)[:-1], (m.sqrt(a), m.sqrt(1 - a))]


def _first_step(step):
    """A step that keeps x where it leads from alpha_bar[0] to itself."""

    def kept(p, i, x, say, levels, m):
        if i < len(p["timesteps"]) - 1 or p["timesteps"][i]:
            return step(p, i, x, say, levels, m)
        x0, eps = say(x, i)
        return levels[i][0] * x0 + levels[i][1] * eps

    return kept


def _asked_by_index(p, m):
    """IDX-08: the model told the loop's index, N-1 .. 0."""
    return levels_of({**p, "timesteps": [*range(len(p["timesteps"]))][::-1]}, m)


def _still(p):
    """VAR-12: no noise, and eta 0 where there is one."""
    if p.get("eta") == 0:
        raise ValueError("there is no noise to lose")
    return p | {"z": 0 * p["z"]} | ({"eta": 0} if "eta" in p else {})


def _beside(p, i, x, say, levels, m):
    """IDX-05: to k - 1 by beta[k], whatever time is visited next."""
    table, k = alpha_bar_of(p["schedule"], m), p["timesteps"][i]
    a, b = table[k], table[k - 1] if k else m.number(1.0)
    x0, _ = say(x, i)
    mean = (m.sqrt(b) * (1 - a / b) * x0 + m.sqrt(a / b) * (1 - b) * x) / (1 - a)
    return mean + m.sqrt(laws_vp.ddpm_variance(p, i, a, b)) * p["z"][i]


def _noise_at_the_end(p, i, x, say, levels, m):
    right = ddpm_step(p, i, x, say, levels, m)
    if p["variance"] == "small" or i < len(p["timesteps"]) - 1:
        return right
    a, b = laws_vp.squares(p, i, m)
    return right + m.sqrt(1 - a / b) * p["z"][i]


def _raw_x0_as_eps(p, i, x, say, levels, m):
    if p["target"] != "x0":
        raise ValueError("only of x0-prediction")
    return ddim_step(p, i, x, lambda x, j: (say(x, j)[0],) * 2, levels, m)


def _first_order(p, m):
    return laws_vp.ddim({**p, "eta": 0}, m)


def _heun_type(p, m):
    """solver_type=heun: (2M) with the line's exact integral, not its middle."""
    levels = levels_of(p, m)
    say, x, change = heard(p, m, levels, asked_of(p, m)), p["x"], 0
    lam = [m.log(s / n) for s, n in levels[:-1]]
    x0, _ = say(x, 0)
    for i in range(len(lam) - 1):
        h, (s, n) = lam[i + 1] - lam[i], levels[i + 1]
        bent = s * ((m.exp(-h) - 1) / h + 1) * h * change
        x = n / levels[i][1] * x - s * (m.exp(-h) - 1) * x0 + bent
        last, (x0, _) = x0, say(x, i + 1)
        change = (x0 - last) / h
    return {"x0": x0}


def _noised_from(p, m, k):
    """img2img from x0 noised at entry k."""
    a = alpha_bar_of(p["schedule"], m)[k]
    x = m.sqrt(a) * p["x0"] + m.sqrt(1 - a) * p["eps"]
    return laws_vp.run({**p, "x": x}, m, laws_vp.flow_step)


def _noised_later(p, m):
    if p["timesteps"][0] + 1 == p["schedule"]["T"]:
        raise ValueError("there is no later time")
    return _noised_from(p, m, p["timesteps"][0] + 1)


def _overwritten(p, m):
    """FWD-07: before each step the state is noised anew from x0."""

    def step(p, i, x, say, levels, m):
        x = levels[i][0] * p["x0"] + levels[i][1] * p["eps"]
        return laws_vp.flow_step(p, i, x, say, levels, m)

    return laws_vp.run({**p, "x": p["x0"]}, m, step)


def _img2img_first(p, m):
    s, n = levels_of(p, m)[0]
    p = {**p, "x": s * p["x0"] + n * p["eps"]}
    return vp(laws_vp.flow_step, levels=_final_first)(p, m)


def _synthetic(name, families, wrong, right):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", "LAW")


EXHIBITS = (
    Exhibit(
        "final_alpha_bar=first",
        {
            "ddim_sampler": vp(_first_step(ddim_step), levels=_final_first),
            "img2img_sampler": _img2img_first,
        },
        "after the last time alpha_bar is alpha_bar[0] (IDX-03)",
        "after the last time alpha_bar is 1",
        GITHUB + "Stability-AI/stablediffusion/pull/345",
        "convention",
    ),
    Exhibit(
        "last_noise=added",
        {"ddpm_sampler": vp(_noise_at_the_end)},
        "with the large variance the last step is given noise, too",
        "the last step has none",
        "",
        "convention",
    ),
    Exhibit(
        "solver_type=heun",
        {"dpmpp_2m_sampler": _heun_type},
        "the line's exact integral, signal' ((e^-h - 1) / h + 1)",
        "the line at mid-step, as the paper has it",
        "https://arxiv.org/abs/2211.01095",
        "convention",
        "LAW",
    ),
    Exhibit(
        "IDX-05",
        {"ddpm_sampler": vp(_beside)},
        "the step to t - 1 by beta[t], when steps are skipped",
        "to the next visited time, by a/b",
        GITHUB + "huggingface/diffusers/pull/1912",
        "A",
    ),
    Exhibit(
        "IDX-08",
        {"ddim_sampler": vp(ddim_step, asked=_asked_by_index)},
        "the model told the loop's index",
        "the model told timesteps[index]",
        GITHUB + "Stability-AI/stablediffusion/pull/226",
        "B",
    ),
    Exhibit(
        "IDX-13",
        {"img2img_sampler": _noised_later},
        "noised at t + 1, where the run starts from t",
        "noised at t",
        GITHUB + "CompVis/stable-diffusion/pull/533",
        "B",
        "LAW",
    ),
    Exhibit(
        "IDX-17",
        {
            "ddim_sampler": vp(twice(ddim_step)),
            "ddpm_sampler": vp(twice(ddpm_step)),
        },
        "the step made twice",
        "once",
        GITHUB + "fastai/diffusion-nbs/pull/49",
        "A",
    ),
    Exhibit(
        "VAR-12",
        {
            "ddim_sampler": vp(ddim_step, change=_still),
            "ddpm_sampler": vp(ddpm_step, change=_still),
        },
        "no noise is added, whatever eta or the variance",
        "noise of the variance asked for",
        GITHUB + "divamgupta/stable-diffusion-tensorflow/issues/21",
        "C",
    ),
    Exhibit(
        "PAR-01",
        {"ddim_sampler": vp(_raw_x0_as_eps)},
        "x0-prediction used as it is where eps belongs",
        "eps = (x - sqrt(a) x0) / sqrt(1 - a)",
        GITHUB + "huggingface/diffusers/pull/2094",
        "A",
    ),
    Exhibit(
        "FWD-07",
        {"img2img_sampler": _overwritten},
        "before each step x is noised anew from x0: the model counts in the last one only",
        "each step starts where the last one ended",
        GITHUB + "OmicsML/scDiff/issues/3",
        "A",
        "LAW",
    ),
    Exhibit(
        "STP-08",
        {"dpmpp_2m_sampler": vp(ddpm_step, change=lambda p: p | {"variance": "small"})},
        "ancestral sampling under the name of DPM-Solver++(2M)",
        "two steps of memory, no noise",
        GITHUB + "152334H/tortoise-tts-fast/issues/2",
        "A",
        "LAW",
    ),
    _synthetic(
        "2m-first-order",
        {"dpmpp_2m_sampler": _first_order},
        "no memory used: order 1",
        "x0_hat on the line through the last two",
    ),
)
