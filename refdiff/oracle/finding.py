"""What one reply to one vector shows: agreement, a difference, or misbehaviour."""

import json
from typing import NamedTuple

import numpy as np

from refdiff.oracle import judge
from refdiff.oracle.truth.arithmetic import UNIT

AGREES, CONVENTION, DIFFERS = "agrees", "convention", "differs"
MISBEHAVES, UNCOVERED = "misbehaves", "not covered"


class Finding(NamedTuple):
    """The outcome of one vector.

    digits: decimal digits that agree (None where rounding is not judged)
    excess: the largest error in tolerances;  matches: wrong forms whose number this is
    convention: the declared one that was asked for;  arrays: the answer, as judged
    """

    id: str
    status: str
    text: str = ""
    digits: float | None = None
    excess: float = 0.0
    matches: tuple = ()
    convention: str = ""
    arrays: dict = {}  # noqa: RUF012
    remark: str = ""

    @property
    def failed(self) -> bool:
        """Whether the target is wrong here."""
        return self.status in (DIFFERS, MISBEHAVES)


def convention_ids(declared: dict) -> set:
    """What a target declares, as the vectors name it: {"final_alpha_bar=first"}."""
    plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in declared.items()}
    return {f"{k}={v}" for k, v in plain.items()}


def find(vector: dict, reply: dict, dtype: str, declared: set) -> Finding:
    """Judge a reply."""
    name = vector["id"]
    for key, status in (("dead", MISBEHAVES), ("broken", MISBEHAVES)):
        if key in reply:
            return Finding(name, status, str(reply[key]))
    if "unsupported" in reply:
        return Finding(name, UNCOVERED, str(reply["unsupported"]))
    refused = "error" in reply
    if vector["result"] == "must-refuse":
        return _refusal(name, reply, refused)
    if refused:
        return Finding(name, MISBEHAVES, f"raises {_cut(reply['error'])}")
    if "outputs" not in reply:
        return Finding(
            name, MISBEHAVES, f"answers neither outputs nor error: {_cut(reply)}"
        )
    return _compare(vector, reply, dtype, declared)


def _refusal(name, reply, refused):
    if refused:
        return Finding(name, AGREES)
    text = f"no answer is right here, but it answers {_cut(reply.get('outputs'))}"
    return Finding(name, MISBEHAVES, text)


def _compare(vector, reply, dtype, declared):
    """Judge an answer against the truth, or against the declared convention's."""
    name, unit = vector["id"], UNIT[dtype]
    outputs, convention = _asked(vector, declared)
    if not all(judge.fits(output, dtype, unit) for output in outputs.values()):
        return Finding(name, UNCOVERED, f"{dtype} cannot hold the answer")
    arrays, fault = _read(vector, reply, outputs)
    matches = _matches(vector, arrays, outputs, unit)
    fault = fault or _bad_types(reply, outputs, dtype) or _not_finite(arrays, outputs)
    remark = _wider(reply, dtype)
    if reply.get("mutated"):
        fault = fault or f"modifies its input {_listed(reply['mutated'])}"
    if fault:
        return Finding(name, MISBEHAVES, fault, matches=matches, arrays=arrays)
    over = {k: judge.excess(o, arrays[k], unit) for k, o in outputs.items()}
    worst = max(float(e.max(initial=0)) for e in over.values())
    digits = [judge.digits(o, arrays[k], unit) for k, o in outputs.items()]
    digits = min([d for d in digits if d is not None], default=None)
    if worst <= 1:
        status = CONVENTION if convention else AGREES
        rest = digits, worst, matches, convention, arrays, remark
        return Finding(name, status, "", *rest)
    text = _first(outputs, arrays, over, unit)
    if convention:
        truth = judge.within(vector["outputs"], arrays, unit)
        text += f"; it declares {convention}" + (", and answers without it" * truth)
    rest = digits, worst, matches, convention, arrays, remark
    return Finding(name, DIFFERS, text, *rest)


def _asked(vector, declared):
    """What is asked for: the truth, or the answer of the declared conventions."""
    found = {
        c: o
        for c, o in vector.get("accept", {}).items()
        if set(c.split("&")) <= declared
    }
    if not found:
        return vector["outputs"], ""
    name = max(found, key=lambda c: c.count("&"))
    return found[name], name


def _read(vector, reply, outputs):
    """The answer as arrays of the asked shapes, or what is wrong with it."""
    got = reply["outputs"]
    if not isinstance(got, dict):
        if len(outputs) > 1:
            return {}, f"one array came back where {', '.join(outputs)} are asked"
        got = dict.fromkeys(outputs, got)
    arrays, faults = {}, []
    for name, output in outputs.items():
        if name not in got:
            return arrays, f"there is no output {name}; got {_cut(sorted(got))}"
        array = _numbers(got[name])
        if array is None:
            return arrays, f"{name} is not an array of numbers: {_cut(got[name])}"
        arrays[name], fault = _kept(vector, np.atleast_1d(array), name)
        shape, asked = arrays[name].shape, judge.asked_shape(output)
        if not fault and shape != asked:
            fault = f"{name} has shape {shape}, not {asked}"
        faults.append(fault)
    return arrays, next(filter(None, faults), "")


def _kept(vector, array, name):
    """The entries that the vector keeps of a long table."""
    if "at" not in vector:
        return array, ""
    if len(array) != vector["length"]:
        return array, f"{name} has {len(array)} entries, not {vector['length']}"
    return array[vector["at"]], ""


def _numbers(value):
    """Nested lists (nan, inf by name) or an array as numbers; None if they are none."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiu":
            return array
        if array.dtype.kind in "bc":
            return None
        return np.vectorize(float, otypes=[float])(array) if array.size else None
    except (TypeError, ValueError, OverflowError):
        return None


def _matches(vector, arrays, outputs, unit):
    """The wrong forms whose very number this is."""
    if set(arrays) != set(outputs):
        return ()
    return tuple(
        name
        for name, answer in vector.get("wrong", {}).items()
        if all(judge.same(o, arrays[k], answer[k], unit) for k, o in outputs.items())
    )


def _types(reply, outputs=None):
    """{output: the type it came back in}, as far as the target says."""
    types = reply.get("dtypes") or {}
    if isinstance(types, str):
        return dict.fromkeys(outputs or ["answer"], types)
    types = types if isinstance(types, dict) else {}
    return {name: str(kind) for name, kind in types.items()}


def _bad_types(reply, outputs, dtype):
    """What is wrong with the types that came back: narrower, or no real numbers."""
    for name, kind in _types(reply, outputs).items():
        if name not in outputs:
            continue
        exact = outputs[name]["class"] == "exact"
        if kind in UNIT and (exact or UNIT[kind] <= UNIT[dtype]):
            continue
        if not (exact and kind.startswith(("int", "uint"))):
            asked = "integers" if exact else dtype
            return f"{name} came back as {kind}, where {asked} should"
    return ""


def _wider(reply, dtype):
    """A remark on answers in a wider type than was asked for."""
    kinds = {k for k in _types(reply).values() if UNIT.get(k, 1) < UNIT[dtype]}
    return f"answers in {min(kinds)}, not in {dtype}" if kinds else ""


def _not_finite(arrays, outputs):
    for name, array in arrays.items():
        bad = ~np.isfinite(array.astype(float))
        if bad.any():
            where = np.argwhere(bad)[0].tolist()
            return f"{name}{where} is {array[tuple(where)]}"
    return ""


def _first(outputs, arrays, over, unit):
    """The first entry that is off, and by how much."""
    name = next(k for k, e in over.items() if (e > 1).any())
    output, array, off = outputs[name], arrays[name], over[name]
    if output["class"] == "truncation":
        order = judge.observed_order(output, array, unit)
        last = judge.end_errors(output, array)[-1]
        return (
            f"{name}: order {order:.2f} (not {output['order']}), "
            f"last error {last:.2g} (bound {output['bound']:.2g})"
        )
    where = np.argwhere(off > 1)[0].tolist()
    if output["class"] == "statistical":
        far = off[tuple(where)] * judge.DEVIATIONS
        return f"{name}: statistic {where[0]} is {far:.1f} standard errors off"
    right = np.asarray(output["value"], dtype=object)[tuple(where)]
    text = f"{name}{where} is {array[tuple(where)]:.12g}, not {float(right):.12g}"
    if output["class"] == "exact":
        return text
    return f"{text}: {off[tuple(where)]:.2g} tolerances off"


def _listed(names):
    return ", ".join(map(str, names)) if isinstance(names, list) else _cut(names)


def _cut(value):
    text = " ".join(str(value).split())
    return text if len(text) <= 160 else text[:157] + "..."
