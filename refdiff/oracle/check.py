"""Asking a target everything, and judging what it says.

Nothing that a target does ends the check: a process that hangs or dies is replaced, a
family is given up after two deaths, the target after six.
"""

import collections
import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from refdiff.oracle import judge
from refdiff.oracle.finding import (
    AGREES,
    CONVENTION,
    DIFFERS,
    MISBEHAVES,
    UNCOVERED,
    Finding,
    convention_ids,
    find,
)
from refdiff.oracle.truth.arithmetic import UNIT
from refdiff.oracle.verdict import Verdict, verdict

PER_FAMILY, IN_ALL = 2, 6  # deaths before a family, or the target, is given up
AGAIN, RUNS = 12, 2  # vectors of a family asked a second time; of whole samplers
PROBE = 2.0**-10  # small, so that clipping does not show


class Report(NamedTuple):
    """What came of a target: one verdict a family, and what it said of itself."""

    name: str
    version: str
    dtype: str
    conventions: dict
    verdicts: tuple
    remarks: tuple = ()
    faults: tuple = ()

    @property
    def status(self) -> int:
        """0: everything covered agrees; 1: something differs; 2: nothing is covered."""
        if self.faults or any(v.status == "differs" for v in self.verdicts):
            return 1
        covered = any(v.status != UNCOVERED for v in self.verdicts)
        return 0 if covered else 2


class Said(NamedTuple):
    """A target's capabilities, made safe."""

    name: str
    version: str
    dtype: str
    conventions: dict
    families: tuple
    faults: tuple


def capabilities(target: Any, known: list, dtype: str | None = None) -> Said:
    """Ask a target what it is; what it cannot say is a fault.

    ValueError if it cannot be imported.
    """
    request = {"id": "capabilities", "verb": "capabilities", "families": known}
    said = target.ask(request)
    if "import" in said:
        raise ValueError(f"cannot import {said['import']}")
    faults = [f"{k}: {said[k]}" for k in ("dead", "error") if k in said]
    own = said.get("dtype", "float64")
    if own not in list(UNIT):
        faults.append(f"dtype must be one of {', '.join(UNIT)}; it says {own!r}")
        own = "float64"
    conventions = said.get("conventions", {})
    if not isinstance(conventions, dict):
        faults.append(f"conventions must be a dictionary; it says {conventions!r}")
        conventions = {}
    families = said.get("families", [])
    if not isinstance(families, list):
        faults.append(f"families must be a list; it says {families!r}")
        families = []
    families = [f for f in families if isinstance(f, str)]
    names = str(said.get("name", "target")), str(said.get("version", ""))
    return Said(*names, dtype or own, conventions, tuple(families), tuple(faults))


def check(
    target: Any,
    documents: Iterable,
    dtype: str | None = None,
    expect: Iterable = (),
    told: Callable = lambda family: None,
    known: Iterable = (),
) -> Report:
    """Ask a target every vector of the documents.

    target: `InProcess`, `Child`, or what else has ask and close
    dtype: judged (and fed) in this one, not in what the target says
    expect: ids that are known to fail;  told(family) is called before each family
    known: names of families that are not asked, but exist
    ValueError if the target cannot be imported, OSError if it cannot be started.
    """
    documents, expect, verdicts = list(documents), set(expect), []
    try:
        said = capabilities(target, [d["family"] for d in documents], dtype)
        asking = Asking(target, said)
        for document in documents:
            told(document["family"])
            verdicts.append(asking.family(document, expect))
    finally:
        told("")
        target.close()
    exhibits = {e for d in documents for e in d.get("exhibits", {})}
    parts = {part for e in exhibits for part in e.split("&")}
    remarks = [
        f"no vector asked knows the convention {c}"
        for c in sorted(asking.declared - parts)
    ]
    if asking.deaths.total() >= IN_ALL:
        remarks.append(f"it died {IN_ALL} times, and was asked nothing more")
    names = {d["family"] for d in documents} | set(known)
    remarks += [f"no vector asks for {f}" for f in said.families if f not in names]
    rest = said.name, said.version, said.dtype, said.conventions
    return Report(*rest, tuple(verdicts), tuple(remarks), said.faults)


class Asking:
    """A target while it is being asked; its deaths are counted, by family."""

    def __init__(self, target: Any, said: Said):
        self.target, self.said, self.deaths = target, said, collections.Counter()
        self.declared = convention_ids(said.conventions)

    def offers(self, document: dict) -> bool:
        """Whether the target says that it has this family."""
        return document["family"] in self.said.families

    def given_up(self, document: dict) -> bool:
        """Whether it died too often to be asked more of this family."""
        here = self.deaths[document["family"]]
        return here >= PER_FAMILY or self.deaths.total() >= IN_ALL

    def family(self, document: dict, expect: set) -> Verdict:
        """Ask a family's vectors, some twice, and probe the first that differs."""
        vectors = document["vectors"]
        if not self.offers(document):
            findings = [Finding(v["id"], UNCOVERED, "not offered") for v in vectors]
            return verdict(document, findings, expect, {})
        findings = [self.vector(document, v) for v in vectors]
        findings = self._again(document, findings)
        return verdict(document, findings, expect, self._probe(document, findings))

    def vector(self, document: dict, vector: dict) -> Finding:
        """Ask one vector and judge the reply."""
        if self.given_up(document):
            text = "not asked: the target died too often"
            return Finding(vector["id"], UNCOVERED, text)
        reply = self._ask(document, vector, vector["inputs"])
        return find(vector, reply, self.said.dtype, self.declared)

    def _ask(self, document, vector, inputs):
        request = request_of(document, vector, inputs, self.said.dtype)
        reply = self.target.ask(request, exact_model(request))
        self.deaths[document["family"]] += "dead" in reply
        return reply

    def _again(self, document, findings):
        """Ask some vectors once more, in another order: answers must be the same."""
        places = [i for i, f in enumerate(findings) if f.arrays]
        rng = random.Random(document["family"])
        findings = list(findings)
        most = RUNS if document["verb"] == "sample" else AGAIN
        for i in rng.sample(places, min(most, len(places))):
            vector, first = document["vectors"][i], findings[i]
            if self.given_up(document) or _drawn(vector):
                break
            again = self.vector(document, vector)
            if not _equal(vector, first, again, UNIT[self.said.dtype]):
                text = "asked a second time, in another order, it answers otherwise: "
                text += "it is random, or keeps something between calls"
                findings[i] = first._replace(status=MISBEHAVES, text=text)
        return findings

    def _probe(self, document, findings):
        """The target's coefficients beside the right ones, where it first differs."""
        for vector, finding in zip(document["vectors"], findings, strict=True):
            if finding.failed:
                if finding.status == DIFFERS and "affine" in vector:
                    return self._coefficients(document, vector, finding)
                return {}
        return {}

    def _coefficients(self, document, vector, finding):
        """Probe at 0 and at a small power of two; {} if the answer is not affine."""
        inputs = {k: np.array(v, float) for k, v in vector["inputs"].items()}
        zero = {k: np.zeros_like(inputs[k]) for k in vector["affine"]}
        base = self._value(document, vector, zero)
        found, total = {}, base
        for name in vector["affine"]:
            unit = {**zero, name: np.full_like(inputs[name], PROBE)}
            part = {**zero, name: PROBE * inputs[name]}
            value, share = (self._value(document, vector, q) for q in (unit, part))
            if value is None or share is None or base is None:
                return {}
            found[name] = (value - base) / PROBE
            total = total + (share - base) / PROBE
        (name, array), *others = finding.arrays.items()
        scale = np.abs(array).max() / PROBE * 64 * UNIT[self.said.dtype]
        if others or not np.allclose(total, array, rtol=1e-3, atol=scale):
            return {}
        right = vector["affine"]
        return {k: (float(v.ravel()[0]), float(right[k])) for k, v in found.items()}

    def _value(self, document, vector, probe):
        """The target's answer to other inputs, or None."""
        if self.given_up(document):
            return None
        inputs = {**vector["inputs"], **{k: v.tolist() for k, v in probe.items()}}
        reply = self._ask(document, vector, inputs)
        found = find(vector, reply, self.said.dtype, set())
        if found.status not in (AGREES, DIFFERS):
            return None
        return next(iter(found.arrays.values()), None)


def request_of(document: dict, vector: dict, inputs: dict, dtype: str) -> dict:
    """The request that asks a vector."""
    head = {"id": vector["id"], "verb": document["verb"], "family": document["family"]}
    return {**head, "dtype": dtype, "problem": vector["problem"], "inputs": inputs}


def exact_model(request: dict) -> Callable | None:
    """The model that a sampler is given, or None where none is."""
    if request["verb"] != "sample" or "target" not in request["problem"]:
        return None
    from refdiff.oracle.models import model

    return model(request["problem"])


def _drawn(vector):
    """Whether random answers are asked for."""
    return any(o["class"] == "statistical" for o in vector["outputs"].values())


def _equal(vector, first, again, unit):
    """Whether two answers are one, up to rounding."""
    if again.arrays.keys() != first.arrays.keys():
        return False
    if first.status in (AGREES, CONVENTION) and again.status == first.status:
        return True
    return all(
        judge.same(o, again.arrays[k], first.arrays[k].tolist(), unit)
        for k, o in vector["outputs"].items()
        if k in first.arrays
    )
