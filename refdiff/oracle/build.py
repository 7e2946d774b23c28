"""Making the vectors: truth at 50 digits, how far a correct program may be off, bugs.

`python -m refdiff.oracle.build` writes every file of refdiff/oracle/vectors again, bit
for bit; it needs mpmath. A vector that the zero answer, the input itself or one of its
own wrong answers would pass is refused: it would prove nothing.
"""

import argparse
import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from refdiff.oracle.judge import LOOSE, asked_shape, within
from refdiff.oracle.museum import EXHIBITS
from refdiff.oracle.truth import FAMILIES
from refdiff.oracle.truth.arithmetic import NOISE, UNIT, Exact, Noisy
from refdiff.oracle.truth.family import Exhibit, Family
from refdiff.oracle.vector import FOLDER, FORMAT

TRIALS = 12  # noisy evaluations a derivation; the largest error of all is kept
AGREE = 1e-40  # how closely the two derivations must agree


def build(
    family: Family, large: bool = False, exhibits: Iterable[Exhibit] | None = None
) -> dict:
    """Return the JSON document of one family: a header and its vectors."""
    exhibits = EXHIBITS if exhibits is None else exhibits
    seed = zlib.crc32(family.name.encode())
    tools = Exact(), [Noisy(seed + i) for i in range(TRIALS)]
    known = [e for e in exhibits if family.name in e.families]
    vectors = [_vector(family, case, known, *tools) for case in family.cases(large)]
    ids = [vector["id"] for vector in vectors]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{family.name}: an id stands twice")
    header = {k: getattr(family, k) for k in ("tier", "verb", "source", "text")}
    header["exhibits"] = {e.id: _words(e) for e in known}
    return {"format": FORMAT, "family": family.name, **header, "vectors": vectors}


def _words(exhibit):
    """What a verdict says of an exhibit."""
    return {k: getattr(exhibit, k) for k in ("wrong", "right", "link", "grade")}


def _vector(family, case, known, exact, noisy):
    """One vector, refused if it could not tell right from wrong."""
    vector = {
        "id": f"{family.name}/{case.id}",
        "result": case.result,
        "problem": case.problem,
        "inputs": case.inputs,
    }
    if case.result == "must-refuse":
        return vector
    truth = _answer(family.truth, case, exact)
    again = _answer(family.again, case, exact)
    _agree(vector["id"], truth, again)
    spread = _spread(family, case, truth, noisy)
    kinds = {name: family.kinds.get(name, "array") for name in truth}
    vector["outputs"] = {
        name: _output(truth[name], spread[name], kinds[name], exact, case.problem)
        for name in truth
    }
    if case.at is not None:
        whole = _answer(family.truth, case._replace(at=None), exact)
        vector["at"] = list(case.at)
        vector["length"] = len(next(iter(whole.values())))
    if family.affine:
        vector["affine"] = _affine(family, case, exact)
    law = _answer(family.law, case, exact) if family.law else {}
    if law:
        vector["law"] = {k: _digits(v, exact) for k, v in law.items()}
    vector["wrong"] = _wrong(family, case, known, vector["outputs"], exact)
    accept = _accept(family, case, known, vector["wrong"], exact, noisy)
    if accept:
        vector["accept"] = accept
    _proves_something(vector, case)
    return vector


def _answer(f, case, m):
    """The answer of f in an arithmetic, {output: array of the entries that are kept}."""
    numbers = {k: m.number(v) for k, v in (case.problem | case.inputs).items()}
    answer = f(numbers, m) or {}
    kept = slice(None) if case.at is None else list(case.at)
    return {k: np.atleast_1d(np.asarray(v))[kept] for k, v in answer.items()}


def _agree(name, truth, again):
    """Refuse a vector whose two derivations differ."""
    for key, value in truth.items():
        scale = max([abs(v) for v in value.ravel()] + [0])
        gap = max([abs(v) for v in (value - again[key]).ravel()] + [0])
        if value.shape != again[key].shape or gap > AGREE * scale:
            raise ValueError(f"{name}: two derivations of {key} differ by {gap}")


def _spread(family, case, truth, noisy):
    """Largest error of each entry over all noisy evaluations, in units of NOISE."""
    spread = {key: np.zeros(value.shape) for key, value in truth.items()}
    if {"truncation", "statistical"} & {*family.kinds.values()}:
        return spread  # no rounding error is asked for
    for f in (family.truth, family.again):
        for m in noisy:
            for key, value in _answer(f, case, m).items():
                bare = np.frompyfunc(lambda v: getattr(v, "value", v), 1, 1)(value)
                error = np.abs((bare - truth[key]).astype(float)) / NOISE
                spread[key] = np.maximum(spread[key], error)
    return spread


def _output(value, spread, kind, exact, problem):
    """An output as JSON: 30 digits, the nearest doubles, and its tolerance."""
    if kind == "exact":
        return {"class": "exact", "value": np.vectorize(int)(value).tolist()}
    if kind in ("truncation", "statistical"):
        return _loose(value, kind, exact, problem)
    size = np.abs(value.astype(float))
    if kind == "array":
        size, spread = (
            np.full_like(size, size.max(initial=0)),
            np.full_like(spread, spread.max(initial=0)),
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(size > 0, np.maximum(spread / size, 1), 0)
    kappa = np.vectorize(_two_digits)(kappa)
    one = kind == "array"
    return {
        "class": "rounding",
        "scale": kind,
        "value": _digits(value, exact),
        "hex": _each(lambda v: float(v).hex(), value),
        "kappa": float(kappa.max(initial=0)) if one else kappa.tolist(),
    }


def _loose(value, kind, exact, problem):
    """An output that no rounding error bounds: end points of a flow, statistics."""
    text = _digits(value, exact)
    if kind == "truncation":
        claims = {k: problem[k] for k in ("steps", "order", "bound")}
    else:
        claims = {"n": problem["n"], "means": problem["law"]["means"]}
    return {"class": kind, "value": text, **claims}


def _two_digits(x):
    """Round a condition number up to two digits, so that files stay small."""
    return float(f"{1.05 * x:.1e}") if x else 0.0


def _digits(value, exact):
    return _each(lambda v: exact.mp.nstr(exact.mp.convert(v), 30), value)


def _each(f, array):
    return np.frompyfunc(f, 1, 1)(array).tolist()


def _affine(family, case, exact):
    """The answer's coefficient of each affine input, by the input's own unit."""
    zero = {k: np.zeros_like(case.inputs[k]) for k in family.affine}
    found = {}
    for name in family.affine:
        unit = {**zero, name: np.ones_like(zero[name])}
        (value,) = _answer(
            family.truth, case._replace(inputs={**case.inputs, **unit}), exact
        ).values()
        found[name] = exact.mp.nstr(exact.mp.convert(value.ravel()[0]), 30)
    return found


def _wrong(family, case, known, outputs, exact):
    """Each known wrong answer that this case tells from the right one."""
    found = {}
    for exhibit in known:
        try:
            answer = _answer(exhibit.families[family.name], case, exact)
            answer = {k: _each(_plain, v) for k, v in answer.items()}
        except (ValueError, ZeroDivisionError):
            continue  # it has no effect here, or no answer
        if not within(outputs, answer, UNIT["float64"], LOOSE):
            found[exhibit.id] = answer
    return found


def _accept(family, case, known, wrong, exact, noisy):
    """What each convention's answer must be, with its own tolerance, where it matters."""
    found = {}
    for exhibit in known:
        if exhibit.grade == "convention" and exhibit.id in wrong:
            f = exhibit.families[family.name]
            other = family._replace(truth=f, again=f)
            value = _answer(f, case, exact)
            spread = _spread(other, case, value, noisy)
            found[exhibit.id] = {
                k: _output(v, spread[k], _kind(family, k, v), exact, case.problem)
                for k, v in value.items()
            }
    return found


def _kind(family, name, value):
    """A convention's kind of output: real numbers may stand where integers are asked."""
    kind = family.kinds.get(name, "array")
    real = kind == "exact" and any(v != int(v) for v in value.ravel())
    return "entry" if real else kind


def _plain(v):
    """Return a number as JSON can hold it: what is not finite by its name."""
    v = float(v)
    return v if np.isfinite(v) else str(v)


def _proves_something(vector, case):
    """Refuse a vector that the zero answer or an input itself would pass."""
    if case.degenerate:
        return
    outputs = vector["outputs"]
    shapes = {k: asked_shape(o) for k, o in outputs.items()}
    lazy = [{k: np.zeros(shape).tolist() for k, shape in shapes.items()}]
    for value in case.inputs.values():
        if all(np.shape(value) == shape for shape in shapes.values()):
            lazy.append(dict.fromkeys(outputs, value))
    if any(within(outputs, answer, UNIT["float32"]) for answer in lazy):
        raise ValueError(f"{vector['id']}: zero or the input itself would pass")


def write(
    folder: str | Path = FOLDER, large: bool = False, names: Iterable[str] = ()
) -> None:
    """Write one file a family into folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        if not names or family.name in names:
            document = build(family, large)
            text = json.dumps(document, separators=(",", ":"), allow_nan=False)
            text = text.replace('{"id"', '\n{"id"')  # one vector a line, for diffs
            (folder / f"{family.name}.json").write_text(text + "\n")


def main() -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(description="write the oracle's vectors again")
    parser.add_argument("folder", nargs="?", default=FOLDER)
    parser.add_argument("--large", action="store_true", help="the whole grid of cases")
    parser.add_argument("--family", action="append", default=[], help="only this one")
    arguments = parser.parse_args()
    write(arguments.folder, arguments.large, arguments.family)


if __name__ == "__main__":
    main()
