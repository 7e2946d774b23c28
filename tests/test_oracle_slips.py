"""Slips in the oracle's engine and in fast runs; each test says what it would let pass."""

import json
import math
import subprocess
import sys
import time

import numba
import numpy as np
import pytest

from refdiff import densities, fast, noise
from refdiff.chain import Chain
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture
from refdiff.oracle import Child, adapter, command, judge, report
from refdiff.oracle.check import Report, check
from refdiff.oracle.finding import Finding, find
from refdiff.oracle.truth.arithmetic import UNIT
from refdiff.oracle.verdict import Verdict, named, verdict

U = UNIT["float64"]


def rounding(value, kappa=1.0, scale="array"):
    return {"class": "rounding", "scale": scale, "value": value, "kappa": kappa}


def truncation(order, value="1.0", bound=1e-2, steps=(8, 16, 32)):
    claims = {"steps": list(steps), "order": order, "bound": bound}
    return {"class": "truncation", "value": [value], **claims}


def a_vector(outputs, **more):
    head = {"id": "f/v", "result": "valid", "problem": {}, "inputs": {}}
    return {**head, "outputs": outputs, "wrong": {}, **more}


def a_document(vectors, **more):
    head = {"family": "f", "tier": "STEP", "verb": "step", "exhibits": {}}
    return {**head, "vectors": vectors, **more}


# judge


def test_an_order_a_third_too_low_is_not_that_order():  # kills SLACK = 0.6
    output = truncation(order=2)
    got = np.array([[1 + n**-1.6] for n in output["steps"]])
    assert not judge.within({"y": output}, {"y": got}, U)
    got = np.array([[1 + n**-1.85] for n in output["steps"]])
    assert judge.within({"y": output}, {"y": got}, U)


def test_errors_above_a_thousand_roundoffs_show_their_order():  # kills FLOOR = 10**6
    output = truncation(order=2)
    got = np.array([[1 + 1e5 * U * 8 / n] for n in output["steps"]])
    assert judge.observed_order(output, got, U) == pytest.approx(1, abs=1e-3)
    got = np.array([[1 + 500 * U * 8 / n] for n in output["steps"]])
    assert judge.observed_order(output, got, U) == math.inf


def test_a_run_may_be_off_by_its_bound_and_16_roundoffs():  # kills RUN = 1600
    output = truncation(order=0, bound=1e-3)
    unit = UNIT["float16"]
    for share, agrees in ((0.9, True), (1.1, False)):
        end = 1 + share * (1e-3 + 16 * unit)
        got = np.full((3, 1), end)
        assert judge.within({"y": output}, {"y": got}, unit) == agrees


def test_a_bound_below_half_of_what_rounding_does_is_not_asked():  # kills 20 * bound
    unit = UNIT["float32"]
    for share, fits in ((1.9, True), (2.1, False)):
        output = truncation(order=2, bound=16 * unit / share)
        assert judge.fits(output, "float32", unit) == fits


def test_a_run_that_becomes_worse_from_rounding_shows_no_order():  # kills errors[0]
    output = truncation(order=2)
    got = np.array([[1.0], [1.0], [1.0 + 1e-3]])
    assert math.isnan(judge.observed_order(output, got, U))
    got = np.array([[1.0 + 1e-3], [1.0], [1.0]])
    assert judge.observed_order(output, got, U) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_end_that_is_no_number_has_no_order(bad):  # kills the lost isfinite
    output = truncation(order=2)
    got = np.array([[1 + 1 / 64], [1 + 1 / 256], [bad]])
    assert math.isnan(judge.observed_order(output, got, U))
    got = np.array([[bad], [1 + 1 / 256], [1 + 1 / 1024]])
    assert math.isnan(judge.observed_order(output, got, U))


def test_nan_is_an_infinite_excess():  # kills the lost isnan in _over
    assert judge.excess(rounding(["1.0"]), np.array([math.nan]), U)[0] == math.inf


def test_a_number_just_beyond_the_loose_tolerance_is_another():  # kills LOOSE = 320
    output = {"class": "exact", "value": [3]}
    for share, same in ((0.9, True), (1.5, False)):
        got = np.array([2.5 * (1 + share * judge.LOOSE * U)])
        assert judge.same(output, got, [2.5], U) == same
    assert judge.LOOSE == 32


def test_a_wrong_form_of_0_is_met_up_to_the_rights_size():  # kills own for max(own, .)
    output = rounding(["4.0"])
    assert judge.same(output, np.array([8 * U]), [0.0], U)


def test_a_wrong_solver_comes_near_its_limit_where_no_order_is_asked():  # kills not order
    wrong, got = [[2.0]] * 3, np.full((3, 1), 2.005)
    assert judge.same(truncation(order=0), got, wrong, U)
    assert not judge.same(truncation(order=2), got, wrong, U)


def test_a_small_wrong_end_is_met_up_to_roundoffs_of_1():  # kills max(.., 0.0)
    wrong, got = [[1e-9]] * 3, np.full((3, 1), 1e-9 + 100 * U)
    assert judge.same(truncation(order=2), got, wrong, U)


# finding


def test_the_worst_of_two_outputs_is_judged():  # kills min for max, max for min
    vector = a_vector({"a": rounding(["1.0"]), "b": rounding(["2.0"])})
    for bad in ("a", "b"):
        outputs = {"a": [1.0], "b": [2.0], bad: [3.0]}
        found = find(vector, {"outputs": outputs}, "float64", set())
        assert found.status == "differs"
        assert found.text.startswith(f"{bad}[0] is 3")
    outputs = {"a": [1.0], "b": [2.0 * (1 + 4 * U)]}
    found = find(vector, {"outputs": outputs}, "float64", set())
    assert found.status == "agrees"
    assert found.digits == pytest.approx(-math.log10(4 * U))


def test_one_output_that_a_precision_cannot_hold_is_enough():  # kills any(fits)
    vector = a_vector({"a": rounding(["1.0"]), "b": rounding(["1e6"])})
    reply = {"outputs": {"a": [1.0], "b": [np.inf]}}
    assert find(vector, reply, "float16", set()).status == "not covered"


def test_of_a_joint_convention_all_parts_must_be_declared():  # kills & for <=
    joint = {"y": rounding(["2.0"])}
    single = {"y": rounding(["3.0"])}
    accept = {"p=1&q=2": joint, "p=1": single}
    vector = a_vector({"y": rounding(["1.0"])}, accept=accept)
    for declared, right in ((set(), 1.0), ({"q=2"}, 1.0), ({"p=1"}, 3.0)):
        found = find(vector, {"outputs": [right]}, "float64", declared)
        assert found.status == ("convention" if declared == {"p=1"} else "agrees")
    found = find(vector, {"outputs": [2.0]}, "float64", {"p=1", "q=2"})
    assert (found.status, found.convention) == ("convention", "p=1&q=2")


def test_integers_may_come_back_in_any_float_that_holds_them():  # kills exact or
    vector = a_vector({"k": {"class": "exact", "value": [3, 2]}})
    reply = {"outputs": [3.0, 2.0], "dtypes": "float32"}
    assert find(vector, reply, "float64", set()).status == "agrees"
    reply = {"outputs": [3.0, 2.0], "dtypes": "complex64"}
    assert "integers should" in find(vector, reply, "float64", set()).text


# verdict


def test_digits_are_of_what_agrees():  # kills and not f.failed, max(sure)
    findings = [
        Finding("f/a", "agrees", digits=14.0),
        Finding("f/b", "differs", digits=0.5),
        Finding("f/c", "agrees", digits=13.0),
    ]
    document = a_document([{"id": f.id} for f in findings])
    assert verdict(document, findings, set(), {}).digits == 13.0


def _named(findings, wrong):
    document = a_document(
        [{"id": f.id, "wrong": dict.fromkeys(wrong)} for f in findings]
    )
    return named(document, findings, [f for f in findings if f.failed])


ONE = {"y": np.ones(1)}


def test_a_vector_without_an_answer_contradicts_no_bug():  # kills not f.arrays
    findings = [
        Finding("f/a", "differs", matches=("A",), arrays=ONE),
        Finding("f/b", "misbehaves", "raises"),
    ]
    assert _named(findings, "A")["A"]["whole"]
    findings[1] = Finding("f/b", "agrees", arrays=ONE)
    assert not _named(findings, "A")["A"]["whole"]


def test_a_vector_judged_by_a_convention_contradicts_no_bug():  # kills if not convention
    findings = [
        Finding("f/a", "differs", matches=("A",), arrays=ONE),
        Finding("f/b", "convention", arrays=ONE, convention="p=1"),
    ]
    assert _named(findings, "A")["A"]["whole"]


def test_the_bug_that_explains_most_comes_first():  # kills the sign of the sort
    findings = [
        Finding("f/a", "differs", matches=("A", "B"), arrays=ONE),
        Finding("f/b", "differs", matches=("B",), arrays=ONE),
        Finding("f/c", "differs", arrays=ONE),
    ]
    assert list(_named(findings, "AB")) == ["B", "A"]


# check


class Asked:
    """A target of family f, or others, that counts its questions."""

    def __init__(self, reply, **said):
        self.reply, self.said, self.asked = reply, said, []

    def ask(self, request, model=None):
        if request["verb"] == "capabilities":
            return {"families": request["families"], **self.said}
        self.asked.append(request)
        return self.reply(len(self.asked), request)

    def close(self):
        pass


def many(n, verb="step"):
    vectors = [a_vector({"y": rounding(["1.0"])}, id=f"f/{i}") for i in range(n)]
    return a_document(vectors, verb=verb)


@pytest.mark.parametrize(("verb", "again"), [("step", 12), ("sample", 2)])
def test_so_many_vectors_are_asked_a_second_time(verb, again):  # kills AGAIN, RUNS
    target = Asked(lambda i, request: {"outputs": [1.0]})
    check(target, [many(30, verb)])
    assert len(target.asked) == 30 + again
    forgets = Asked(lambda i, request: {"outputs": [1.0 if i <= 30 else 2.0]})
    (found,) = check(forgets, [many(30, verb)]).verdicts
    assert found.counts["misbehaves"] == again


def test_two_runs_that_both_agree_are_one():  # kills the lost "both agree" of _equal
    vector = a_vector({"y": truncation(order=2)})
    ends = np.array([[n**-2.0] for n in (8, 16, 32)])
    run = Asked(lambda i, request: {"outputs": (1 + (-1) ** i * ends).tolist()})
    (found,) = check(run, [a_document([vector], verb="sample")]).verdicts
    assert len(run.asked) == 2
    assert found.status == "agrees"


def test_a_joint_convention_is_known_by_its_parts():  # kills for part in [e]
    document = {**many(1), "exhibits": {"p=1&q=2": {}}}
    target = Asked(lambda i, request: {"outputs": [1.0]}, conventions={"q": "2"})
    assert check(target, [document]).remarks == ()


def test_a_family_that_was_not_asked_but_exists_is_no_remark():  # kills | set(known)
    target = Asked(lambda i, request: {"outputs": [1.0]}, families=["f", "g", "h"])
    found = check(target, [many(1)], known=["f", "g"])
    assert found.remarks == ("no vector asks for h",)


def test_probes_are_small_so_that_clipping_does_not_show():  # kills PROBE = 0.5
    vector = a_vector(
        {"y": rounding(["0.125"])}, inputs={"x": [0.25]}, affine={"x": "0.5"}
    )

    def clipped(i, request):
        (x,) = request["inputs"]["x"]
        return {"outputs": [min(max(2 * x, -0.75), 0.75)]}

    (found,) = check(Asked(clipped), [a_document([vector])]).verdicts
    assert found.affine == {"x": (2.0, 0.5)}


def test_only_what_differs_is_probed():  # kills the lost status == DIFFERS
    vector = a_vector(
        {"y": rounding(["0.5"])}, inputs={"x": [1.0]}, affine={"x": "0.5"}
    )
    target = Asked(
        lambda i, r: {"outputs": [0.5 * r["inputs"]["x"][0]], "mutated": ["x"]}
    )
    (found,) = check(target, [a_document([vector])]).verdicts
    assert found.first.status == "misbehaves"
    assert {json.dumps(r["inputs"]) for r in target.asked} == {'{"x": [1.0]}'}


# adapter


class Everything:
    def f(self, p):
        self.p = p
        if "model" in p:
            self.told = p["model"](p["x"], 1)
        p["deep"]["list"].append(1)
        return p["x"]


def a_request(dtype, **more):
    problem = {"deep": {"list": []}}
    inputs = {"x": [1.0, 1e5], "k": [1, 2]}
    return {"family": "f", "dtype": dtype, "problem": problem, "inputs": inputs, **more}


def test_a_problem_that_an_adapter_alters_is_given_anew():  # kills dict for deepcopy
    request = a_request("float64")
    adapter.answer(Everything(), request)
    assert request["problem"] == {"deep": {"list": []}}


@pytest.mark.parametrize(
    ("dtype", "fed"), [("float64", "f8"), ("float32", "f4"), ("bfloat16", "f4")]
)
def test_arrays_and_the_models_are_of_the_type_that_is_judged(dtype, fed):
    """Kills float16 for bfloat16, and a model in float64."""
    target = Everything()
    adapter.answer(target, a_request(dtype), lambda x, t: np.ones(2))
    assert target.p["x"].dtype == target.told.dtype == fed
    assert target.p["k"].dtype.kind == "i"
    assert target.p["x"][1] == 1e5


def test_an_adapter_may_stand_within_a_class(tmp_path, monkeypatch):  # kills no split
    code = "class A:\n    class B:\n        name = 'b'\n"
    (tmp_path / "nested_adapter.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert adapter.load("nested_adapter:A.B").name == "b"
    assert not isinstance(adapter.load("nested_adapter:A"), type)


# child


SLOW = """
import json, os, subprocess, sys, time
{begin}
for line in iter(sys.stdin.readline, ""):
    request = json.loads(line)
    if request["verb"] == "capabilities":
        said = {{"families": request["families"]}}
        print(json.dumps(said), flush=True)
        continue
    {body}
"""


def slow(tmp_path, begin="", body="pass"):
    path = tmp_path / "slow_driver.py"
    path.write_text(SLOW.format(begin=begin, body=body))
    return [sys.executable, str(path)]


def test_a_process_started_again_has_as_long_as_the_first(tmp_path):
    """Kills a start that is not asked for, or within the time of a request alone."""
    answer = 'print(json.dumps({"outputs": [1.0]}), flush=True)'
    dies = 'os._exit(3) if request["id"] == "f/0" else ' + answer
    target = Child(slow(tmp_path, "time.sleep(1.5)", dies), timeout=1.0)
    first, second = check(target, [many(2)]).verdicts[0].findings
    assert first.text.startswith("crashed: exit status 3")
    assert second.status == "agrees", second.text


def test_the_first_answer_has_at_least_a_requests_time():  # kills start for max(...)
    assert Child(["true"], timeout=90.0).start == 90.0
    assert Child(["true"], timeout=1.0).start == 60.0


def test_what_a_child_started_dies_with_it(tmp_path):  # kills the lost killpg
    mark = tmp_path / "alive"
    code = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w').close()"
    begin = f"subprocess.Popen([sys.executable, '-c', {code!r}])"
    target = Child(slow(tmp_path, begin, "time.sleep(1e3)"), timeout=0.3)
    check(target, [many(1)])
    time.sleep(2.5)
    assert not mark.exists()


def test_what_comes_unasked_is_no_answer_to_the_next_question(tmp_path):
    """Kills the lost drain: an extra line without an id would answer for the next."""
    body = 'print(json.dumps({"outputs": request["n"]}) + "\\n{\\"outputs\\": -1}", flush=True)'
    target = Child(slow(tmp_path, body=body), timeout=5.0)
    try:
        for n in range(3):
            request = {"id": f"f/{n}", "verb": "step", "n": n}
            assert target.ask(request) == {"outputs": n}
            time.sleep(0.3)
    finally:
        target.close()


# report, command, plugin


def a_verdict(**more):
    rest = {"digits": 14.0, "counts": {"agrees": 2}, **more}
    return Verdict("f", "STEP", rest.pop("status", "agrees"), **rest)


def test_a_convention_counts_as_good_and_three_bugs_have_their_words():
    """Kills a tally without conventions, [:1] for [:3], a summary of all."""
    counts = {"agrees": 1, "convention": 2}
    one = a_verdict(status="convention", counts=counts, conventions=("p=1",))
    assert report.tally(one) == "3 of 3"
    bug = {"explains": 1, "of": 4, "whole": False, "wrong": "w", "right": "r"}
    two = a_verdict(status="differs", bugs={name: bug for name in "ABCDE"})
    lines = report.details(two)
    assert [line.startswith("some of these are the number") for line in lines] == [
        True, True, True, False,
    ]  # fmt: skip
    assert lines[3] == "and the numbers of D, E"
    whole = a_verdict(status="differs", bugs={"A": {**bug, "whole": True}})
    assert report.details(whole)[0].startswith("this is the number of A (1 of 4")
    found = Report("me", "1", "float32", {"p": 1}, (one, two, a_verdict()))
    assert report.summary(found) == (
        "families: 1 agree, 1 agree under a declared convention, 1 differ, 0 not covered"
    )
    assert report.title(found) == "me 1, float32, declaring p=1"


def test_the_time_of_a_request_is_passed_on():  # kills the lost timeouts
    assert command.child("m:a", None, 3.0).timeout == 3.0
    assert command.child(None, "x y", 3.0).timeout == 3.0


def test_the_command_judges_in_the_type_that_is_asked(tmp_path, capsys, monkeypatch):
    """Kills a --dtype that is not passed on, and families that are not known."""
    from refdiff import cli

    monkeypatch.chdir(tmp_path)
    code = (
        "class A:\n    def f(self, p): return [1.0]\n    def g(self, p): return [1.0]\n"
    )
    (tmp_path / "any_adapter.py").write_text(code)
    for name in "fg":
        document = {"format": 1, **many(1), "family": name}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    arguments = ["any_adapter:A", "--vectors", ".", "--family", "f"]
    assert cli.main(["check", *arguments, "--dtype", "float32"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "adapter, float32"
    for id, status in (("g/0", 0), ("f/0", 0), ("f/7", 2)):  # g is known, not asked
        (tmp_path / "known.txt").write_text(id)
        assert cli.main(["check", *arguments, "--expect", "known.txt"]) == status
    capsys.readouterr()
    code = "import json\nfor line in iter(input, None):\n"
    code += (
        "    id = json.loads(line)['id']\n    said = {'families': ['f', 'g', 'h']}\n"
    )
    code += "    said = said if id == 'capabilities' else {'outputs': [1.0]}\n"
    (tmp_path / "driver.py").write_text(
        code + "    print(json.dumps(said), flush=True)\n"
    )
    arguments = ["--cmd", f"{sys.executable} driver.py", *arguments[1:]]
    assert cli.main(["check", *arguments]) == 0
    out = capsys.readouterr().out
    assert "no vector asks for h" in out
    assert "no vector asks for g" not in out


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_the_plugin_takes_its_own_vectors_and_times(tmp_path, seconds):
    """Kills a plugin of the shipped vectors alone, or of ten seconds."""
    code = "import time\nclass A:\n    def f(self, p): time.sleep(1.5); return [1.0]\n"
    (tmp_path / "tardy.py").write_text(code)
    (tmp_path / "mine").mkdir()
    document = {"format": 1, **many(1)}
    (tmp_path / "mine" / "f.json").write_text(json.dumps(document))
    import importlib.metadata

    points = importlib.metadata.entry_points(group="pytest11")
    known = any(p.value == "refdiff.oracle.plugin" for p in points)
    options = [] if known else ["-p", "refdiff.oracle.plugin"]
    options += ["--refdiff-target", "tardy:A", "--refdiff-vectors", "mine"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *options]
        + ["--refdiff-timeout", str(seconds)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = {1.0: "hangs: no answer within 1 s", 2.0: "1 passed"}[seconds]
    assert said in run.stdout, run.stdout + run.stderr


def test_large_vectors_are_the_whole_grid(tmp_path, monkeypatch):  # kills large=False
    from refdiff import cli
    from refdiff.oracle import build

    asked = []
    monkeypatch.setattr(build, "write", lambda *a, **more: asked.append((a, more)))
    arguments = ["vectors", str(tmp_path), "--large", "--family", "ddim"]
    assert cli.main(arguments) == 0
    assert asked == [((tmp_path,), {"large": True, "names": ["ddim"]})]


# build


def a_family(truth, again=None, cases=("a",)):
    from refdiff.oracle.truth.family import Case, Family

    made = [Case(id, {}, {"x": [1.25]}) for id in cases]
    rest = "STEP", "step", "definition", "a toy", truth, again or truth
    return Family("toy", *rest, lambda large: made)


def test_vectors_that_prove_nothing_are_not_built():  # kills AGREE = 1e-4 and others
    from refdiff.oracle.build import build

    def double(p, m):
        return {"y": 2 * p["x"]}

    def nearly(p, m):
        return {"y": 2 * p["x"] * (1 + m.number(2.0**-60))}

    assert len(build(a_family(double), exhibits=())["vectors"]) == 1
    with pytest.raises(ValueError, match="two derivations of y differ"):
        build(a_family(double, nearly), exhibits=())
    with pytest.raises(ValueError, match="an id stands twice"):
        build(a_family(double, cases=("a", "a")), exhibits=())
    for lazy in (lambda p, m: {"y": p["x"]}, lambda p, m: {"y": 0 * p["x"]}):
        with pytest.raises(ValueError, match="the input itself would pass"):
            build(a_family(lazy), exhibits=())


def test_a_wrong_form_nearer_than_loose_is_not_told_apart():  # kills HEADROOM there
    from refdiff.oracle.build import build
    from refdiff.oracle.truth.family import Exhibit

    def double(p, m):
        return {"y": 2 * p["x"]}

    for share, told in ((0.5, False), (8.0, True)):

        def wrong(p, m, share=share):
            return {"y": 2 * p["x"] * (1 + share * m.number(32 * U))}

        exhibit = Exhibit("TOY-9", {"toy": wrong}, "w", "r", "", "synthetic")
        (vector,) = build(a_family(double), exhibits=[exhibit])["vectors"]
        assert ("TOY-9" in vector["wrong"]) == told


# families


def test_the_ends_of_the_churned_range_are_churned():  # kills s_min < sigma < s_max
    from refdiff.oracle.families.sigma import churned

    for sigma, factor in ((0.5, 1.25), (2.0, 1.25), (0.49, 1.0), (2.01, 1.0)):
        assert churned(sigma, 0.25, 0.5, 2.0) == factor * sigma


def test_families_refuse_what_they_say():  # kills lost or moved refusals
    from refdiff import schedule, sde
    from refdiff.oracle.families import flow, gaussian_flow, schedules, sigma
    from refdiff.oracle.families import timesteps as times

    x, table = np.ones((1, 2)), schedule.linear(10)
    process = sde.vp(sde.linear_beta())
    bad = [
        (sigma.split, (1.0, 1.0, 1.0)),
        (sigma.split, (1.0, 0.5, 1.5)),
        (sigma.split, (1.0, 0.5, -0.5)),
        (flow.velocity_from_eps, (x, x, 1)),
        (gaussian_flow.gaussian_flow, (x, x[0], np.ones((2, 2)), process, 1.0, 0.5)),
        (schedules.zero_snr, (schedule.linear(1),)),
        (times.lcm_timesteps, (1000, 4, 5)),
        (times.lcm_timesteps, (4, 5, 2)),
        (times.quadratic_times, (4, 1.0, 1.0)),
        (times.quadratic_times, (4, 1.0, -0.5)),
        (times.sigma_timesteps, (np.array([1e-3]), table)),
        (times.sigma_timesteps, (np.array([1e3]), table)),
    ]
    for function, arguments in bad:
        with pytest.raises(ValueError):
            function(*arguments)


# fast, noise, densities


LAW = Mixture(np.array([0.5, 0.5]), [[0.0], [1e3]], [[[1.0]], [[1.0]]])


def test_a_start_run_and_sample_with_one_seed_share_no_normals():  # kills streams
    one = Mixture(np.ones(1), np.zeros((1, 1)), np.eye(1)[None])
    start, sample = fast.start(5, 64, 1), fast.sample(one, 64, 5)
    steps = noise.normals(5, 64, 1)[0]
    for a, b in ((start, sample), (start, steps), (sample, steps)):
        assert not (a == b).any()
    assert (start == noise.normals(5, 64, 1, stream=1)[0]).all()
    assert (sample == noise.normals(5, 64, 1, stream=2)[0]).all()


def test_a_stream_is_no_stream_of_the_next_seed():  # kills seed + stream
    near = [noise.normals(5, 50, 2, stream=s) for s in (1, 2)]
    for z in near:
        for seed in (3, 4, 6, 7, 8):
            for stream in (0, 1, 2):
                assert not (z == noise.normals(seed, 50, 2, stream=stream)).any()


def test_the_component_of_a_sample_says_nothing_of_its_noise():  # kills S.copy()
    x = fast.sample(LAW, 100_000, 3)[:, 0]
    z = x - 1e3 * (x > 500)
    for part in (z[x < 500], z[x > 500]):
        assert abs(part.mean()) < 6 / math.sqrt(len(part))
        assert abs(part.var() - 1) < 6 * math.sqrt(2 / len(part))


@numba.njit
def minus(x, out):
    out[0] = -x[0]


def test_an_own_score_is_not_asked_at_a_level_of_noise():  # kills the lost noise != 0
    one, no = np.ones(1), np.zeros(1)
    matrix, ends = np.zeros((1, 1)), np.array([True])
    row = Chain(matrix[None], one[None], matrix, one, 2 * one, no, ends)
    with pytest.raises(ValueError, match="signal 1, noise 0"):
        fast.run(row, minus, np.zeros((4, 1)), seed=1)


def test_no_points_are_refused():  # kills the lost x.size
    with pytest.raises(ValueError, match="x must be"):
        fast.run(langevin_chain(0.05, 2), LAW, np.zeros((0, 1)), seed=1)


def test_samples_of_float32_are_float32s_and_the_sides_that_float64s_are():
    a, b = fast.sample(LAW, 4000, 3), fast.sample(LAW, 4000, 3, dtype="f4")
    assert (a.dtype, b.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_seeds_up_to_2_to_the_63_are_streams():  # kills 2**62
    assert noise.normals(2**63 - 1, 1, 1, first=2**63 - 1).shape == (1, 1, 1)
    with pytest.raises(ValueError, match="seed must be below 2"):
        noise.normals(2**63, 1, 1)


def test_the_defaults_of_the_densities_are_the_stated_ones():  # kills temperature 10
    x = np.array([[0.3, 0.6], [-1.1, 0.4]])
    for law, same in (
        (densities.ring(), densities.ring(2.0, 0.2)),
        (densities.banana(), densities.banana(1.0, 1.0, 0.3)),
        (densities.double_well(), densities.double_well(3.0, 0.5)),
        (densities.mueller_brown(), densities.mueller_brown(20.0)),
    ):
        assert (law.log_p(x) == same.log_p(x)).all()
