"""A wrong network, wrong gradients, wrong steps of Adam."""

from refdiff.oracle.truth import losses
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.network import forward


def slip(name, families, wrong, right, grade="synthetic", link=""):
    """An exhibit that is seen at LAW."""
    return Exhibit(name, families, wrong, right, link, grade, "LAW")


def _mlp(change):
    def wrong(p, m):
        answer = losses.mlp(p, m)
        return {**answer, **change(p, answer, m)}

    return wrong


def _no_slope(p, answer, m):
    """The unit's derivative replaced, for the second layer's own weights."""
    _, (_, h0, a1, _) = forward(p, p["x"], m)
    s = 1 / (1 + m.exp(-a1))
    da1 = (p["dy"] @ p["W2"].T) * s
    return {"W1": h0.T @ da1, "b1": da1.sum(axis=0)}


def _relu_like(p, answer, m):
    """Sigmoid where SiLU belongs."""
    a0 = p["x"] @ p["W0"] + p["b0"]
    a1 = (1 / (1 + m.exp(-a0))) @ p["W1"] + p["b1"]
    return {"y": (1 / (1 + m.exp(-a1))) @ p["W2"] + p["b2"]}


def _mean_bias(p, answer, m):
    return {k: answer[k] / len(p["x"]) for k in ("b0", "b1", "b2")}


def _adam(change):
    """Adam with another last line: change(p, m, first, second) -> params."""

    def wrong(p, m):
        answer = losses.adam_step(p, m)
        return {**answer, "params": change(p, m, answer["m"], answer["v"])}

    return wrong


def _uncorrected(p, m, first, second):
    return p["params"] - p["lr"] * first / (m.sqrt(second) + p["adam_eps"])


def _one_corrected(p, m, first, second):
    first = first / (1 - p["b1"] ** p["step"])
    return p["params"] - p["lr"] * first / (m.sqrt(second) + p["adam_eps"])


def _late(p, m, first, second):
    n = p["step"] + 1
    first, second = first / (1 - p["b1"] ** n), second / (1 - p["b2"] ** n)
    return p["params"] - p["lr"] * first / (m.sqrt(second) + p["adam_eps"])


def _inside(p, m, first, second):
    n = p["step"]
    first, second = first / (1 - p["b1"] ** n), second / (1 - p["b2"] ** n)
    return p["params"] - p["lr"] * first / m.sqrt(second + p["adam_eps"])


def _early(p, m, first, second):
    n = p["step"]
    rate = p["lr"] * m.sqrt(1 - p["b2"] ** n) / (1 - p["b1"] ** n)
    return p["params"] - rate * first / (m.sqrt(second) + p["adam_eps"])


def _uphill(p, m, first, second):
    n = p["step"]
    first, second = first / (1 - p["b1"] ** n), second / (1 - p["b2"] ** n)
    return p["params"] + p["lr"] * first / (m.sqrt(second) + p["adam_eps"])


EXHIBITS = (
    slip(
        "SYN-mlp-slope",
        {"mlp": _mlp(_no_slope)},
        "sigmoid for the slope of SiLU",
        "s (1 + a (1 - s))",
    ),
    slip("SYN-mlp-sigmoid", {"mlp": _mlp(_relu_like)}, "sigmoid units", "a sigmoid(a)"),
    slip(
        "SYN-mlp-mean-bias",
        {"mlp": _mlp(_mean_bias)},
        "bias gradients averaged over rows",
        "summed",
    ),
    slip(
        "SYN-adam-uncorrected",
        {"adam_step": _adam(_uncorrected)},
        "no bias correction",
        "m / (1 - b1^n), v / (1 - b2^n)",
    ),
    slip(
        "SYN-adam-one-corrected",
        {"adam_step": _adam(_one_corrected)},
        "only m corrected",
        "both",
    ),
    slip(
        "SYN-adam-late",
        {"adam_step": _adam(_late)},
        "corrections of step n + 1",
        "of step n",
    ),
    slip(
        "SYN-adam-eps-inside",
        {"adam_step": _adam(_inside)},
        "sqrt(v_hat + eps)",
        "sqrt(v_hat) + eps",
    ),
    slip(
        "SYN-adam-eps-early",
        {"adam_step": _adam(_early)},
        "eps beside the uncorrected root",
        "beside sqrt(v_hat)",
    ),
    slip("SYN-adam-uphill", {"adam_step": _adam(_uphill)}, "+ lr", "- lr"),
)
