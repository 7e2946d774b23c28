"""What a model said, read as something else: one bug for every step of a solver."""

from refdiff.oracle.truth import dpm, flow, lms, multistep, sigma
from refdiff.oracle.truth.family import Exhibit

IN_SIGMA, IN_FLOW, IN_BOTH = (sigma, lms), (flow,), (dpm, multistep)
HAVE = {  # the modules whose steps may be told each of these
    "eps": (*IN_SIGMA, *IN_FLOW, *IN_BOTH),
    "x0": (*IN_SIGMA, *IN_FLOW, *IN_BOTH),
    "v": (*IN_SIGMA, *IN_BOTH),
    "score": (*IN_SIGMA, *IN_BOTH),
    "flow": (*IN_FLOW, *IN_BOTH),
}


def _steps(target, modules=None):
    """The steps that may be told this, by their families' names."""
    return {
        family.name: family.truth
        for module in modules or HAVE[target]
        for family in module.FAMILIES
        if family.tier == "STEP"
    }


def applies(condition):
    """Refuse a case in which a bug has no effect."""
    if not condition:
        raise ValueError("no effect here")


def synthetic(slug, families, wrong, good):
    """An exhibit that was made up."""
    return Exhibit(f"SYN-{slug}", families, wrong, good, "", "synthetic")


def _read_as(was, read, modules=None):
    """Each step with what it was told of one kind taken for another."""

    def reading(truth):
        def wrong(p, m):
            applies(p["target"] == was)
            return truth(p | {"target": read}, m)

        return wrong

    return {name: reading(truth) for name, truth in _steps(was, modules).items()}


def _negative(was):
    """Each step with the sign of what it was told turned round."""

    def turned(truth):
        def wrong(p, m):
            applies(p["target"] == was)
            told = {k: -v for k, v in p.items() if k.startswith("output")}
            if "history" in p:
                told["history"] = [(x, -y) for x, y in p["history"]]
            return truth(p | told, m)

        return wrong

    return {name: turned(truth) for name, truth in _steps(was).items()}


EXHIBITS = (
    synthetic(
        "x0-read-as-eps",
        _read_as("x0", "eps"),
        "x0_hat taken for eps_hat",
        "eps_hat = (x - signal x0_hat) / noise",
    ),
    synthetic(
        "eps-read-as-x0",
        _read_as("eps", "x0"),
        "eps_hat taken for x0_hat",
        "x0_hat = (x - noise eps_hat) / signal",
    ),
    synthetic(
        "v-read-as-eps",
        _read_as("v", "eps"),
        "v taken for eps_hat",
        "v = signal eps - noise x0 in the scaling where both squares add to 1",
    ),
    synthetic(
        "score-read-as-eps",
        _read_as("score", "eps"),
        "the score taken for eps_hat",
        "eps_hat = -noise score",
    ),
    synthetic(
        "flow-read-as-eps",
        _read_as("flow", "eps"),
        "v of a flow taken for eps_hat",
        "v = eps - x0",
    ),
    synthetic(
        "flow-read-as-v",
        _read_as("flow", "v", IN_BOTH),
        "v of a flow taken for v-prediction",
        "v = eps - x0",
    ),
    synthetic(
        "v-negative",
        _negative("v"),
        "v = noise x0 - signal eps",
        "v = signal eps - noise x0",
    ),
    synthetic(
        "score-negative",
        _negative("score"),
        "eps_hat = noise score",
        "eps_hat = -noise score",
    ),
)
