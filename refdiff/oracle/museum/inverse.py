"""Wrong forms of DDIM's inverse."""

from refdiff.oracle.museum.targets import READINGS, only
from refdiff.oracle.truth.ddim import ddim
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.targets import from_output
from refdiff.oracle.truth.walks import pair

DIFFUSERS = "https://github.com/huggingface/diffusers/"


def _here(p, m):
    """Where x stands, and where it goes."""
    a, b = pair(p, m)
    return b, a


def up(levels=_here, read=from_output, noise=None):
    """The step up, of these pieces: levels(p, m) -> from, to; noise(here, there, m)."""

    def wrong(p, m):
        here, there = levels(p, m)
        roots = m.sqrt(here), m.sqrt(1 - here)
        x0, eps = read(p["target"], p["x"], p["output"], *roots)
        factor = m.sqrt(1 - there) if noise is None else noise(here, there, m)
        return {"x_next": m.sqrt(there) * x0 + factor * eps}

    return wrong


def _ks(p):
    """The time that x stands at, -1 for the clean end, and the one that it goes to."""
    times, i = [*p["timesteps"], -1], p["index"]
    return times[i + 1], times[i]


def _down(p, m):
    """IDX-06-i: on to the next lower time, as in sampling."""
    if p["index"] + 2 >= len(p["timesteps"]):
        raise ValueError("nothing lower is visited")
    down = ddim(p | {"index": p["index"] + 1, "eta": 0, "z": 0}, m)
    return {"x_next": down["x_prev"]}


def _neighbour(p, m):
    """IDX-06-ii: the time that x stands at taken to be one below the one it goes to."""
    table, k = alpha_bar_of(p["schedule"], m), _ks(p)[1]
    return table[k - 1] if k else m.number(1.0), table[k]


def _mixed(p, m):
    """IDX-06-iii: the noise of the time it leaves, the signal of the one it goes to."""
    return up(noise=lambda here, there, m: m.sqrt(1 - here))(p, m)


def _one_later(p, m):
    """IDX-15: the levels of the step after."""
    if p["index"] == 0:
        raise ValueError("there is no step after")
    a, b = pair(p | {"index": p["index"] - 1}, m)
    return b, a


def _loop_index(p, m):
    """IDX-08: x taken to stand at the loop's index; found with a network that said eps."""
    only(p["target"], "eps", "v", "score")
    table, steps = alpha_bar_of(p["schedule"], m), len(p["timesteps"]) - 1 - p["index"]
    return table[steps], pair(p, m)[0]


def _swapped(p, m):
    return pair(p, m)


def _exhibit(name, form, wrong, right, link="", grade="synthetic"):
    return Exhibit(name, {"ddim_inverse": form}, wrong, right, link, grade)


UP = "from the lower time to the higher, each with its own alpha_bar"
EXHIBITS = (
    _exhibit(
        "IDX-06-i", _down, "on to the next lower time", UP, DIFFUSERS + "pull/5145", "A"
    ),
    _exhibit(
        "IDX-06-ii",
        up(_neighbour),
        "t - 1 taken for the time that x stands at",
        UP,
        DIFFUSERS + "issues/10695",
        "B",
    ),
    _exhibit(
        "IDX-06-iii",
        _mixed,
        "noise and signal of different times",
        UP,
        DIFFUSERS + "pull/3436",
        "B",
    ),
    _exhibit(
        "IDX-08",
        up(_loop_index),
        "the loop's index for the time that x stands at",
        "timesteps[index]",
        "https://github.com/Stability-AI/stablediffusion/pull/226",
        "B",
    ),
    _exhibit(
        "IDX-15",
        up(_one_later),
        "each step with the levels of the one after",
        UP,
        "https://github.com/JIA-Lab-research/RIVAL/issues/8",
        "A",
    ),
    _exhibit("SYN-inverse-swapped", up(_swapped), "the two levels exchanged", UP),
    _exhibit(
        "SYN-inverse-unrooted",
        up(noise=lambda here, there, m: 1 - there),
        "1 - alpha_bar eps",
        "sqrt(1 - alpha_bar) eps",
    ),
    _exhibit(
        "SYN-inverse-sign",
        up(noise=lambda here, there, m: -m.sqrt(1 - there)),
        "eps subtracted",
        "eps added",
    ),
)
READ = {name: up(read=reading) for name, reading, _, _ in READINGS}
