"""The check: what targets of every kind, right, wrong and wild, make it say."""

import ast
import functools
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from refdiff import cli
from refdiff.oracle import Child, InProcess, judge
from refdiff.oracle.build import build
from refdiff.oracle.check import check
from refdiff.oracle.finding import find
from refdiff.oracle.report import as_json, markdown, short, text
from refdiff.oracle.truth.arithmetic import UNIT
from refdiff.oracle.truth.family import Case, Exhibit, Family
from refdiff.oracle.vector import FOLDER, documents

ROOT = Path(__file__).resolve().parent.parent
DRIVER = f"node {ROOT / 'examples' / 'driver.mjs'}"
X, Z = [[1.25, -0.625], [-0.4375, 2.125]], [[0.5625, -1.1875], [0.8125, 0.3125]]


def mean(p, m):
    """(a x + b z) / (a + b), and a last step that takes x alone."""
    a, b = p["a"] * 1, (0 if p["index"] == p["N"] else p["b"] * 1)
    return {"y": (a * p["x"] + b * p["z"]) / (a + b)}


def mean_again(p, m):
    a, b = p["a"] * 1, (0 if p["index"] == p["N"] else p["b"] * 1)
    return {"y": p["x"] + b / (a + b) * (p["z"] - p["x"])}


def unweighted(p, m):
    return {"y": (p["x"] + p["z"]) / 2}


def whole_last(p, m):
    return mean({**p, "N": -1}, m)


def unrooted(p, m):
    if p["index"] != 0:
        raise ValueError
    return {"y": (p["a"] ** 2 * p["x"] + p["b"] * p["z"]) / (p["a"] ** 2 + p["b"])}


def _mean_cases(large):
    for a, index in ((3.0, 0), (0.37, 1), (5.0, 2)):
        problem = {"a": a, "b": 1.0, "index": index, "N": 2}
        inputs = {"x": X, "z": Z}
        yield Case(f"a{a:g}/step-{index}", problem, inputs, degenerate=index == 2)
    yield Case("a0", {"a": 0.0, "b": 0.0, "index": 0, "N": 2}, inputs, "must-refuse")


def count(p, m):
    return {"k": np.arange(p["N"])[::-1]}


def square_table(p, m):
    return {"s": m.number(np.arange(1.0, p["N"] + 1)) ** 2 / 8}


def square_sums(p, m):
    return {"s": np.cumsum(m.number(np.arange(1.0, 2 * p["N"], 2))) / 8}


def growth(p, m):
    return {"end": p["x"] * m.exp(m.number(1.0))}


def growth_again(p, m):
    return {"end": p["x"] * m.exp(m.number(0.5)) ** 2}


def two_means(p, m):
    """Half the mass at -2, half at 2, variance 1 about each."""
    one, four = m.number(1.0), m.number(4.0)
    expected = [0 * one, one + four, one / 2]
    draw = [m.sqrt(one + four), m.sqrt(18 * one), m.sqrt(one / 4)]
    rows = np.array([expected + [one / 2], draw + [m.sqrt(one / 4)]])
    return {"samples": rows}


LAW = {"weights": [0.5, 0.5], "means": [[-2.0], [2.0]], "covs": [[[1.0]], [[1.0]]]}
TOYS = (
    Family(
        "mean",
        "STEP",
        "step",
        "definition",
        "a weighted mean",
        mean,
        mean_again,
        _mean_cases,
        affine=("x", "z"),
    ),
    Family(
        "count",
        "TABLE",
        "table",
        "definition",
        "N - 1 to 0",
        count,
        lambda p, m: {"k": np.array([p["N"] - 1 - i for i in range(p["N"])])},
        lambda large: [Case("N5", {"N": 5}), Case("N7", {"N": 7})],
        kinds={"k": "exact"},
    ),
    Family(
        "squares",
        "TABLE",
        "table",
        "definition",
        "k^2 / 8 for k = 1 to N",
        square_table,
        square_sums,
        lambda large: [Case("N9", {"N": 9}, at=(0, 4, 8))],
        kinds={"s": "entry"},
    ),
    Family(
        "growth",
        "LAW",
        "sample",
        "definition",
        "x' = x from time 0 to 1",
        growth,
        growth_again,
        lambda large: [
            Case("e", {"steps": [8, 16, 32, 64], "order": 2, "bound": 1e-3}, {"x": X})
        ],
        kinds={"end": "truncation"},
    ),
    Family(
        "draws",
        "STAT",
        "sample",
        "definition",
        "n samples of the law",
        two_means,
        two_means,
        lambda large: [Case("two", {"n": 20_000, "law": LAW})],
        kinds={"samples": "statistical"},
    ),
)
MUSEUM = (
    Exhibit("TOY-01", {"mean": unweighted}, "plain mean", "weighted", "", "synthetic"),
    Exhibit("TOY-02", {"mean": unrooted}, "weight squared", "weight", "", "synthetic"),
    Exhibit("last=mean", {"mean": whole_last}, "a mean", "x", "", "convention"),
)


@functools.cache
def toys():
    """The toy families' documents: they go through JSON as shipped ones do."""
    return json.loads(json.dumps([build(family, False, MUSEUM) for family in TOYS]))


class Right:
    """A target that has all toy families right."""

    name, version = "right", "1.0"

    def mean(self, p):
        if p["a"] + p["b"] == 0:
            raise ZeroDivisionError("no weight")
        b = 0 if p["index"] == p["N"] else p["b"]
        return (p["a"] * p["x"] + b * p["z"]) / (p["a"] + b)

    def count(self, p):
        return np.arange(p["N"] - 1, -1, -1)

    def squares(self, p):
        return {"s": np.arange(1, p["N"] + 1) ** 2 / 8}

    def growth(self, p):
        ends = [(1 + 1 / N + 0.5 / N**2) ** N for N in p["steps"]]
        return np.array(ends)[:, None, None] * p["x"]

    def draws(self, p):
        rng = np.random.default_rng(3)
        return rng.choice([-2.0, 2.0], (p["n"], 1)) + rng.standard_normal((p["n"], 1))


def only(family, function, **said):
    """An adapter of one family."""
    attributes = {family: staticmethod(function), **said}
    return type("Only", (), attributes)()


def verdict_of(family, function, dtype=None, expect=(), **said):
    """The verdict on a function of one toy family."""
    report = check(InProcess(only(family, function, **said)), toys(), dtype, expect)
    return next(v for v in report.verdicts if v.family == family)


def test_a_right_target_agrees_with_everything():
    report = check(InProcess(Right()), toys())
    assert report.status == 0
    assert [v.status for v in report.verdicts] == ["agrees"] * 5
    assert min(v.digits for v in report.verdicts if v.digits) >= 15
    assert (report.name, report.version) == ("right", "1.0")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_right_target_of_low_precision_agrees_to_fewer_digits(dtype):
    fed = np.float16 if dtype == "float16" else np.float32

    def low(p):
        y = Right().mean({k: fed(v) if k in "ab" else v for k, v in p.items()})
        bits = y.astype(np.float32).view(np.uint32) + 0x8000 & 0xFFFF0000
        return bits.view(np.float32) if dtype == "bfloat16" else y.astype(fed)

    verdict = verdict_of("mean", low, dtype=dtype)
    assert verdict.status == "agrees"
    assert -math.log10(64 * UNIT[dtype]) < verdict.digits <= -math.log10(UNIT[dtype])


@pytest.mark.parametrize("dtype", UNIT)
def test_a_target_is_told_the_type_also_where_no_array_is_fed(dtype):
    told = set()

    def listens(p):
        told.add(p["dtype"])
        return Right().squares(p)

    verdict_of("squares", listens, dtype=dtype)
    assert told == {"float32" if dtype == "bfloat16" else dtype}


def test_a_wrong_form_that_rounds_more_than_the_truth_is_named_all_the_same():
    output = {"class": "rounding", "scale": "array", "value": [1.0], "kappa": 1.0}
    for far, named in ((1e-12, True), (1e-9, False)):
        assert judge.same(output, np.array([3 + far]), [3.0], UNIT["float64"]) is named


@pytest.mark.control
def test_a_low_precision_is_not_enough_where_a_high_one_is_declared():
    found = verdict_of("mean", lambda p: Right().mean(p) * (1 + 1e-9))
    assert found.status == "differs"
    near = lambda p: Right().mean(p).astype(float) * (1 + 1e-9)
    found = verdict_of("mean", near, dtype="float32")
    assert found.status == "agrees"
    assert found.remarks == ("answers in float64, not in float32",)


def test_a_bug_is_named_with_its_place_its_size_and_its_coefficients():
    verdict = verdict_of("mean", lambda p: (p["x"] + p["z"]) / 2)
    assert verdict.status == "differs"
    assert verdict.first.id == "mean/a3/step-0"
    assert next(iter(verdict.bugs)) == "TOY-01"
    assert verdict.bugs["TOY-01"]["whole"]
    assert "TOY-02" not in verdict.bugs
    assert verdict.first.text.startswith("y[0, 0] is 0.90625, not 1.078125: ")
    right = {"x": 0.75, "z": 0.25}
    for name, (target, true) in verdict.affine.items():
        assert target == pytest.approx(0.5, abs=1e-12)
        assert true == pytest.approx(right[name], abs=1e-12)


def test_a_bug_that_strikes_at_one_place_alone_is_named():
    def wrong(p):
        return Right().mean(p if p["index"] or not p["a"] else {**p, "a": p["a"] ** 2})

    verdict = verdict_of("mean", wrong)
    assert list(verdict.bugs) == ["TOY-02"]
    assert verdict.counts == {"differs": 1, "agrees": 3}


@pytest.mark.control
def test_a_bug_of_ones_own_is_given_no_name():
    verdict = verdict_of("mean", lambda p: p["x"] - 0.25 * p["z"])
    assert verdict.status == "differs"
    assert verdict.bugs == {}


def test_what_is_not_affine_gets_no_coefficients():
    verdict = verdict_of("mean", lambda p: np.clip((p["x"] + p["z"]) / 2, -1, 1))
    assert verdict.first.status == "differs"
    assert verdict.affine == {}


def conventional(p):
    return Right().mean({**p, "N": -1})


def test_an_undeclared_convention_is_named_and_a_declared_one_accepted():
    verdict = verdict_of("mean", conventional)
    assert verdict.status == "differs"
    assert list(verdict.bugs) == ["last=mean"]
    report = check(InProcess(only("mean", conventional)), toys())
    assert "this is the convention last=mean" in text(report)
    verdict = verdict_of("mean", conventional, conventions={"last": "mean"})
    assert verdict.status == "convention"
    assert short(verdict).endswith("digits under last=mean")


@pytest.mark.control
def test_a_declared_convention_must_be_kept():
    verdict = verdict_of("mean", Right().mean, conventions={"last": "mean"})
    assert verdict.status == "differs"
    assert "declares last=mean, and answers without it" in verdict.first.text


def test_a_convention_that_no_vector_knows_is_remarked():
    adapter = only("count", Right().count, conventions={"colour": "red"})
    report = check(InProcess(adapter), toys())
    assert report.status == 0
    assert report.remarks == ("no vector asked knows the convention colour=red",)


def _mutating(p):
    y = Right().mean(p)
    p["x"] += 1.0
    return y


class _Remembering:
    last = 0.0

    def mean(self, p):
        y = Right().mean(p)
        y, self.last = y + 1e-3 * self.last, y if p["index"] == 1 else self.last
        return y


RNG = np.random.default_rng(0)
WILD = {
    "not a number": (lambda p: np.full_like(p["x"], np.nan), "y[0, 0] is nan"),
    "infinite": (lambda p: p["x"] / 0.0, "y[0, 0] is inf"),
    "shape": (lambda p: Right().mean(p)[:1], "y has shape (1, 2), not (2, 2)"),
    "narrow": (
        lambda p: Right().mean(p).astype("float32"),
        "y came back as float32, where float64 should",
    ),
    "integer": (lambda p: Right().mean(p).astype(int), "y came back as int64, where"),
    "complex": (lambda p: Right().mean(p) + 0j, "y is not an array of numbers"),
    "nothing": (lambda p: None, "y is not an array of numbers"),
    "words": (lambda p: "done", "y is not an array of numbers"),
    "ragged": (lambda p: [[1.0], [1.0, 2.0]], "what came back is no array"),
    "other output": (lambda p: {"z": p["x"]}, "there is no output y"),
    "raises": (lambda p: 1 // 0, "raises ZeroDivisionError"),
    "leaves": (lambda p: sys.exit("bye"), "raises SystemExit: bye"),
    "mutates": (_mutating, "modifies its input x"),
    "random": (
        lambda p: p["x"] + RNG.random(),
        "asked a second time, in another order, it answers otherwise",
    ),
}


@pytest.mark.parametrize("kind", WILD)
def test_a_wild_function_is_a_finding(kind):
    function, said = WILD[kind]
    with np.errstate(all="ignore"):
        verdict = verdict_of("mean", function)
    assert verdict.status == "differs"
    assert any(f.text.startswith(said) for f in verdict.findings), verdict.first.text


def test_what_is_kept_between_calls_is_found():
    verdict = check(InProcess(_Remembering()), toys()).verdicts[0]
    assert any("keeps something between calls" in f.text for f in verdict.findings)


def test_an_answer_where_none_is_right_is_a_finding():
    def careless(p):
        return Right().mean(p if p["a"] else {**p, "a": 1.0})

    verdict = verdict_of("mean", careless)
    assert verdict.first.id == "mean/a0"
    assert verdict.first.text.startswith("no answer is right here, but it answers")
    verdict = verdict_of("mean", lambda p: np.nan if not p["a"] else Right().mean(p))
    assert verdict.first.id == "mean/a0"


def test_what_a_target_lacks_is_not_covered_and_never_passed():
    def partial(p):
        if p["a"] == 3.0:
            raise NotImplementedError("a = 3")
        return Right().mean(p)

    verdict = verdict_of("mean", partial)
    assert (verdict.status, verdict.counts["not covered"]) == ("agrees", 1)
    report = check(InProcess(only("nothing", partial)), toys())
    assert {v.status for v in report.verdicts} == {"not covered"}
    assert report.status == 2


def test_long_tables_are_compared_at_the_entries_that_stand_there():
    wrong = [1, 4, 9, 16, 26, 36, 49, 64, 81]
    verdict = verdict_of("squares", lambda p: np.array(wrong) / 8)
    assert verdict.first.text.startswith("s[1] is 3.25, not 3.125")
    verdict = verdict_of("squares", lambda p: np.array([1.0, 25.0, 81.0]) / 8)
    assert verdict.first.text == "s has 3 entries, not 9"


def euler(p):
    return np.array([(1 + 1 / N) ** N for N in p["steps"]])[:, None, None] * p["x"]


@pytest.mark.order
def test_an_order_too_low_and_an_error_too_large_are_found():
    verdict = verdict_of("growth", euler)
    assert verdict.first.text.startswith("end: order 0.95 (not 2)")
    late = verdict_of("growth", lambda p: 1.01 * Right().growth(p))
    assert "last error" in late.first.text
    exact = verdict_of("growth", lambda p: np.e * np.stack([p["x"]] * 4))
    assert exact.status == "agrees"


@pytest.mark.parametrize(
    "dtype, status", [("float32", "agrees"), ("float16", "not covered")]
)
def test_an_order_is_asked_where_the_precision_can_show_it(dtype, status):
    verdict = verdict_of("growth", Right().growth, dtype=dtype)
    assert verdict.status == status
    wrong = verdict_of("growth", euler, dtype=dtype)
    assert wrong.status == {"agrees": "differs"}.get(status, status)


def test_an_answer_that_a_precision_cannot_hold_is_not_covered():
    output = {"class": "rounding", "scale": "entry", "kappa": [1.0, 1.0]}
    for value, known in ((1e5, False), (1e-5, False), (1e4, True), (0.0, True)):
        asked = {**output, "value": [str(value), "1.0"]}
        assert judge.fits(asked, "float16", UNIT["float16"]) == known
        assert judge.fits(asked, "float32", UNIT["float32"])
        assert judge.fits({**asked, "scale": "array"}, "float16", 2**-11) == (
            value < 6e4
        )


@pytest.mark.law
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, rng: x + 0.1,
        lambda x, rng: 1.05 * x,
        lambda x, rng: np.where(rng.random(x.shape) < 0.1, np.abs(x), x),
    ],
)
def test_samples_of_another_law_are_found(wrong):
    rng = np.random.default_rng(5)
    verdict = verdict_of("draws", lambda p: wrong(Right().draws(p), rng))
    assert "standard errors off" in verdict.first.text


@pytest.mark.control
def test_samples_of_another_law_with_these_moments_and_shares_are_not_found():
    """What statistics cannot see: one Gaussian in place of two."""
    one = np.sqrt(5.0) * np.random.default_rng(5).standard_normal((20_000, 1))
    assert verdict_of("draws", lambda p: one).status == "agrees"


def test_known_failures_are_expected_and_change_no_status():
    ids = [v["id"] for v in toys()[0]["vectors"]]
    verdict = verdict_of("mean", lambda p: (p["x"] + p["z"]) / 2, expect=ids)
    assert (verdict.status, verdict.expected) == ("agrees", 4)
    assert "but for 4 known failures" in short(verdict)
    verdict = verdict_of("mean", Right().mean, expect=ids[:1])
    assert verdict.remarks == (f"1 known failures pass, the first {ids[0]}",)


def test_every_shipped_wrong_answer_of_ddim_is_named():
    """A target that answers what the vectors say a bug would is called by its name."""
    (document,) = documents(family="ddim")
    asked = {json.dumps([v["problem"], v["inputs"]]): v for v in document["vectors"]}
    for exhibit in document["exhibits"]:
        plays = _Replay(exhibit, asked)
        if plays.strikes:
            (verdict,) = check(plays, [document]).verdicts
            assert exhibit in verdict.bugs
            assert verdict.bugs[exhibit]["whole"]


class _Replay:
    """A target that answers a wrong form's number wherever a vector has one."""

    def __init__(self, exhibit, asked):
        self.exhibit, self.asked = exhibit, asked
        self.strikes = any(exhibit in v.get("wrong", {}) for v in asked.values())

    def ask(self, request, model=None):
        if request["verb"] == "capabilities":
            return {"name": self.exhibit, "families": request["families"]}
        vector = self.asked.get(json.dumps([request["problem"], request["inputs"]]))
        if vector is None:
            return {"unsupported": "not affine, it may be"}
        if vector["result"] == "must-refuse":
            return {"error": "refused"}
        outputs = {k: o["value"] for k, o in vector["outputs"].items()}
        return {"outputs": vector["wrong"].get(self.exhibit, outputs)}

    def close(self):
        pass


def test_findings_read_decimal_strings_and_names_of_what_is_not_finite():
    vector = toys()[0]["vectors"][0]
    outputs = {k: o["value"] for k, o in vector["outputs"].items()}
    assert find(vector, {"outputs": outputs}, "float64", set()).status == "agrees"
    reply = {"outputs": {"y": [["nan", 1.0], [1.0, "-inf"]]}}
    assert find(vector, reply, "float64", set()).text == "y[0, 0] is nan"


ODD = [
    {},
    {"outputs": None},
    {"outputs": {}},
    {"outputs": {"y": {"y": 1}}},
    {"outputs": [[10**400, 1], [1, 1]]},
    {"outputs": [[True, False], [True, False]]},
    {"outputs": [[[1.0]], [1.0]]},
    {"outputs": Z, "dtypes": 3},
    {"outputs": Z, "dtypes": {"y": 3}},
    {"outputs": Z, "dtypes": ["y"]},
    {"outputs": Z, "mutated": 3},
    {"outputs": Z, "mutated": {"x": 1}},
    {"error": None},
    {"error": {"x": 1}},
    {"unsupported": None},
    {"outputs": Z, "error": 1},
]


@pytest.mark.parametrize("reply", ODD, ids=json.dumps)
def test_no_reply_however_odd_passes_or_ends_the_check(reply):
    for document in toys():
        for vector in document["vectors"]:
            found = find(vector, reply, "float64", set())
            refused = vector["result"] == "must-refuse" and "error" in reply
            assert found.failed or found.status == "not covered" or refused


def test_a_wrong_form_of_another_length_is_named():
    """A list that is one too long is nobody's rounding error, but somebody's bug."""
    (document,) = documents(family="heun_calls")
    vector = next(v for v in document["vectors"] if "IDX-09" in v["wrong"])
    found = find(vector, {"outputs": vector["wrong"]["IDX-09"]}, "float64", set())
    assert "has shape" in found.text
    assert "IDX-09" in found.matches


def test_a_tolerance_is_eight_kappa_u_of_the_size():
    output = {
        "class": "rounding",
        "scale": "array",
        "value": ["4.0", "1.0"],
        "kappa": 2,
    }
    edge = 8 * 2 * UNIT["float64"] * 4.0
    assert judge.within({"y": output}, {"y": [4.0, 1.0 + edge]}, UNIT["float64"])
    assert not judge.within(
        {"y": output}, {"y": [4.0, 1.0 + 2 * edge]}, UNIT["float64"]
    )
    each = {**output, "scale": "entry"}
    assert not judge.within({"y": each}, {"y": [4.0, 1.0 + edge]}, UNIT["float64"])


SCRIPT = """
import ctypes, json, os, signal, sys, time
kind, deaths = sys.argv[1], 0
for line in iter(sys.stdin.readline, ""):
    request = json.loads(line)
    if request["verb"] == "capabilities":
        if kind == "mute": time.sleep(1e3)
        said = {"name": kind, "families": ["mean", "count"]}
        if kind == "liar":
            said = {"name": 3, "dtype": "float7", "conventions": [], "families": "all"}
        if kind == "odd": said = [1, 2]
        print(json.dumps(said), flush=True)
        continue
    if request["family"] == "count":
        print(json.dumps({"outputs": list(range(request["problem"]["N"]))[::-1]}), flush=True)
        continue
    if kind == "hangs": time.sleep(1e3)
    if kind == "hangs in C": ctypes.CDLL(None).pause()
    if kind == "spins": 
        while True: pass
    if kind == "exits": os._exit(3)
    if kind == "aborts": print("last words", file=sys.stderr, flush=True); os.abort()
    if kind == "babbles": print("reticulating splines", flush=True); continue
    if kind == "floods":
        while True: print("spam")
    if kind == "endless":
        while True: sys.stdout.write("9" * 4096)
    if kind == "closes": os.close(1); time.sleep(1e3)
    if kind == "nests": print("[" * 100000, flush=True); continue
    if kind == "another": print(json.dumps({"id": "x", "outputs": 1.0}), flush=True); continue
    if kind == "calls": print(json.dumps({"model": {"x": [[1.0]], "t": 1}}), flush=True); continue
    if kind == "empty": print("{}", flush=True)
    if kind == "noisy": print("progress: 50%", flush=True)
    p = {**request["problem"], **request["inputs"]}
    a, b = p["a"], 0 if p["index"] == p["N"] else p["b"]
    if a + b == 0:
        print(json.dumps({"error": "no weight"}), flush=True)
        continue
    rows = zip(p["x"], p["z"])
    y = [[(a * u + b * v) / (a + b) for u, v in zip(*pair)] for pair in rows]
    if kind != "empty": print(json.dumps({"id": request["id"], "outputs": y}), flush=True)
    if kind == "twice": print(json.dumps({"id": request["id"], "outputs": 0}), flush=True)
"""
DEADLY = {
    "hangs": "hangs: no answer within 0.5 s",
    "hangs in C": "hangs: no answer within 0.5 s",
    "spins": "hangs: no answer within 0.5 s",
    "exits": "crashed: exit status 3",
    "aborts": "crashed: signal 6: last words",
    "babbles": "answers what is no JSON: 'reticulating splines'",
    "floods": "floods its output with what is no JSON",
    "endless": "",
    "closes": "closed its output and went on",
    "nests": "answers what is no JSON: '[[[",
    "another": "answers what is no JSON",
    "calls": "calls back for a model, which this question does not give",
}


@pytest.fixture
def script(tmp_path):
    """A program whose argument says how it misbehaves."""
    path = tmp_path / "driver.py"
    path.write_text(SCRIPT)
    return lambda kind: [sys.executable, str(path), kind]


@pytest.mark.parametrize("kind", DEADLY)
def test_a_deadly_program_is_a_finding_and_other_families_go_on(kind, script):
    began = time.monotonic()
    report = check(Child(script(kind), timeout=0.5), toys()[:2])
    assert time.monotonic() - began < 30
    first, second = report.verdicts
    assert first.status == "differs"
    assert first.counts["misbehaves"] == 2  # then the family is given up
    assert first.first.text.startswith(DEADLY[kind])
    assert "died too often" in first.findings[-1].text
    assert second.status == "agrees"
    assert report.status == 1


def test_a_target_that_dies_in_every_family_is_given_up():
    class Dying(InProcess):
        asked = 0

        def ask(self, request, model=None):
            self.asked += request["verb"] != "capabilities"
            alive = request["verb"] == "capabilities"
            return super().ask(request) if alive else {"dead": "crashed"}

    names = [name for name in ("mean", "count", "squares", "growth") for _ in "ab"]
    dying = Dying(Right())
    report = check(dying, [{**toys()[0], "family": name} for name in names])
    assert dying.asked == 6
    assert report.status == 1
    assert report.remarks == ("it died 6 times, and was asked nothing more",)


@pytest.mark.parametrize("kind", ["right", "noisy", "twice"])
def test_noise_beside_right_answers_is_no_failure(kind, script):
    report = check(Child(script(kind), timeout=20.0), toys()[:2])
    assert [v.status for v in report.verdicts] == ["agrees", "agrees"], text(report)


def test_an_empty_reply_is_a_finding(script):
    verdict = check(Child(script("empty"), timeout=5.0), toys()[:1]).verdicts[0]
    assert verdict.first.text.startswith("answers neither outputs nor error")


@pytest.mark.parametrize("kind", ["liar", "mute", "odd"])
def test_lies_about_itself_are_faults(kind, script):
    report = check(Child(script(kind), timeout=0.5, start=0.8), toys()[:2])
    assert report.status == 1
    assert len(report.faults) == (3 if kind == "liar" else 1)
    assert "FAULT" in text(report)


ADAPTER = '''
"""An adapter that babbles, on every way out, and answers rightly."""
import os, subprocess, sys
import numpy as np
print("imported")
name, version, dtype, conventions = "babbler", "2", "float64", {}

def mean(p):
    print("a line"); os.write(1, b"and another\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    assert sys.stdin.read() == ""
    b = 0 if p["index"] == p["N"] else p["b"]
    if p["a"] + b == 0:
        raise ValueError("no weight")
    return (p["a"] * p["x"] + b * p["z"]) / (p["a"] + b)

class Bad:
    name = "bad"
    def mean(self, p):
        return (p["x"] + p["z"]) / 2

class Dies:
    def mean(self, p):
        os._exit(7)
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to stand in, with an adapter and the toy vectors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ADAPTER)
    (tmp_path / "toys").mkdir()
    for document in toys()[:2]:
        path = tmp_path / "toys" / f"{document['family']}.json"
        path.write_text(json.dumps(document))
    return tmp_path


def run(*arguments):
    return cli.main(["check", *arguments, "--vectors", "toys"])


def test_the_command_says_what_agrees(place, capfd):
    assert run("mine") == 0
    out, _ = capfd.readouterr()
    assert out.splitlines()[0] == "babbler 2, float64"
    assert "mean  agrees to 15 digits  4 of 4" in out
    assert "not covered: count" in out
    assert out.endswith("families: 1 agree, 0 differ, 1 not covered\n")


def test_the_command_says_what_differs_in_three_formats(place, capsys):
    assert run("mine:Bad") == 1
    assert "this is the number of TOY-01 (" in capsys.readouterr().out
    assert run("mine:Bad", "--format", "json") == 1
    report = json.loads(capsys.readouterr().out)
    first = next(f for f in report["families"] if f["family"] == "mean")
    assert (report["status"], first["bugs"][0]["id"]) == (1, "TOY-01")
    assert first["failures"][0]["matches"] == ["TOY-01"]
    assert first["affine"]["x"]["right"] == 0.75
    assert run("mine:Bad", "--format", "markdown", "--out", "report.md") == 1
    written = (place / "report.md").read_text()
    assert "| `mean` | STEP | DIFFERS | in 4 of 4 |" in written
    assert capsys.readouterr().out.strip().endswith("report.md")


def test_a_python_adapter_that_dies_is_a_finding(place, capsys):
    assert run("mine:Dies", "--family", "mean") == 1
    assert "crashed: exit status 7" in capsys.readouterr().out


def test_expected_failures_are_read_from_a_file(place, capsys):
    ids = [v["id"] for v in toys()[0]["vectors"]]
    (place / "known.txt").write_text("# all\n" + "\n".join(f"{i}  # why" for i in ids))
    assert run("mine:Bad", "--expect", "known.txt") == 0
    assert "but for 4 known failures" in capsys.readouterr().out


USAGE = {
    "no target": [],
    "two targets": ["mine", "--cmd", "true"],
    "no module": ["nowhere.at:all"],
    "no attribute": ["mine:nobody"],
    "no command": ["--cmd", "./no-such-program"],
    "no family": ["mine", "--family", "meen"],
    "no vectors": ["mine", "--vectors", "."],
    "no file": ["mine", "--expect", "none.txt"],
    "no such id": ["mine", "--expect", "typo.txt"],
    "nothing covered": ["mine", "--family", "count"],
    "an open quote": ["--cmd", "'x"],
}


@pytest.mark.parametrize("kind", USAGE)
def test_usage_errors_are_status_2(kind, place, capsys):
    (place / "typo.txt").write_text("mean/a4/step-0\n")
    arguments = ["check", "--vectors", "toys", *USAGE[kind]]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith("refdiff: ")


@pytest.mark.parametrize("bad", [["--timeout", "0"], ["--dtype", "int"], ["--format"]])
def test_bad_options_are_status_2(bad, place):
    with pytest.raises(SystemExit) as error:
        run("mine", *bad)
    assert error.value.code == 2


def test_reports_keep_to_100_columns_and_to_json():
    report = check(InProcess(only("mean", lambda p: p["x"] * np.inf)), toys())
    assert max(map(len, text(report).splitlines())) <= 100
    assert json.loads(as_json(report))["status"] == 1
    assert markdown(report).count("| `") == 5


def seconds():
    """Processor time of this process and its ended children: waiting does not count."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


def test_refdiff_itself_agrees_with_every_shipped_vector_in_20_seconds():
    began = seconds()
    command = [sys.executable, "-m", "refdiff.oracle.serve", "refdiff.oracle.reference"]
    report = check(Child(command), documents())
    assert {v.status for v in report.verdicts} == {"agrees"}, text(report)
    assert seconds() - began < 20


def test_a_driver_in_another_language_agrees(capfd):
    assert cli.main(["check", "--cmd", DRIVER]) == 0
    out, _ = capfd.readouterr()
    for family in ("alpha_bar", "timesteps", "add_noise", "ddim", "euler"):
        assert any(line.startswith(f"{family} ") for line in out.splitlines())


@functools.cache
def schemas():
    """{name: validator} of the shipped schemas."""
    paths = (FOLDER / "schema").glob("*.json")
    found = {path.stem: json.loads(path.read_text()) for path in paths}
    parts = [(s["$id"], Resource.from_contents(s)) for s in found.values()]
    registry = Registry().with_resources(parts)
    return {k: Draft202012Validator(s, registry=registry) for k, s in found.items()}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_shipped_files_keep_to_their_schema(path):
    document = json.loads(path.read_text())
    assert document["family"] == path.stem
    schemas()[document["verb"]].validate(document)
    ids = [v["id"] for v in document["vectors"]]
    assert len(set(ids)) == len(ids)
    assert all(i.startswith(path.stem + "/") for i in ids)


def test_toy_documents_keep_to_the_schemas_and_damaged_ones_do_not():
    for document in toys():
        schemas()[document["verb"]].validate(document)
        for key in ("format", "verb", "vectors", "exhibits"):
            damaged = {k: v for k, v in document.items() if k != key}
            assert not schemas()["step"].is_valid(damaged)
    step = json.loads(json.dumps(toys()[0]))
    step["vectors"][0]["outputs"]["y"]["value"][0][0] = 1.0  # no decimal string
    assert not schemas()["step"].is_valid(step)


def test_requests_and_replies_keep_to_their_schemas():
    class Watched(InProcess):
        def ask(self, request, model=None):
            schemas()["request"].validate(json.loads(json.dumps(request)))
            return super().ask(request, model)

    assert check(Watched(Right()), toys()).status == 0
    good = ({"outputs": [[1.0, "nan"]]}, {"error": "no"}, {"unsupported": "no"})
    for reply in (*good, {"model": {"x": [[1.0]], "t": 3}}):
        assert schemas()["reply"].is_valid(reply)
    assert not schemas()["reply"].is_valid({"output": 1.0})
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema.schema)


def test_vectors_are_written_for_others(tmp_path, capsys):
    out = tmp_path / "vectors"
    assert cli.main(["vectors", str(out), "--family", "ddim"]) == 0
    names = sorted(p.name for p in out.rglob("*.json"))
    shipped = sorted(p.name for p in (FOLDER / "schema").glob("*.json"))
    assert names == sorted(["ddim.json", *shipped])
    assert (out / "ddim.json").read_bytes() == (FOLDER / "ddim.json").read_bytes()
    assert "kappa" in (out / "README.md").read_text()
    assert cli.main(["vectors", str(FOLDER)]) == 2
    assert cli.main(["vectors", str(out), "--family", "none"]) == 2


@pytest.mark.parametrize("folder", ["truth", "museum"])
def test_truth_and_museum_share_nothing_with_refdiff(folder):
    """They import NumPy, the standard library, mpmath for 50 digits, and each other."""
    own = ("refdiff.oracle.truth", "refdiff.oracle.museum")
    for path in (ROOT / "refdiff" / "oracle" / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                known = top in {*sys.stdlib_module_names, "numpy"}
                exact = name == "mpmath" and path.name == "arithmetic.py"
                kin = name.startswith(own if folder == "museum" else own[0])
                assert known or exact or kin, f"{path.name}: {name}"
