"""Every small slip in a right program, and whether the oracle notices it.

The program is one of the three writings. A slip is made in one function at a time; the
families that reach it are asked, whole samplers last, until one of them differs. What no
vector sees is listed with the reason: mostly it is the same program.
"""

import ast
import contextlib
import importlib
import signal
from pathlib import Path

import numpy as np

from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import exact_model, request_of
from refdiff.oracle.finding import find
from refdiff.oracle.vector import documents
from tests.gates.mutants import mutants

WRITINGS = Path(__file__).parent.parent / "writings"
SECONDS = 10  # a slip that makes a loop endless has shown itself by then


def modules(form):
    """The modules of a writing."""
    names = sorted(path.stem for path in WRITINGS.glob(f"{form}_form*.py"))
    return [importlib.import_module(f"tests.writings.{name}") for name in names]


def reached(parts):
    """{function: names of all functions from which it may be reached, itself included}."""
    uses = {}
    for part in parts:
        for node in ast.parse(Path(part.__file__).read_text()).body:
            for name in _defined(node):
                uses.setdefault(name, set()).update(_used(node))
    return {name: _callers(name, uses) for name in uses}


def _defined(node):
    """The names that a statement of a module gives a value: a function's, a table's."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _used(node):
    inner = list(ast.walk(node))
    names = {n.id for n in inner if isinstance(n, ast.Name)}
    return names | {n.attr for n in inner if isinstance(n, ast.Attribute)}


def _callers(name, uses):
    found, new = set(), {name}
    while new:
        found |= new
        new = {f for f, names in uses.items() if names & new} - found
    return found


@contextlib.contextmanager
def put(part, mutant, parts):
    """Put a mutant in its function's place, wherever that was imported to."""
    old, made = vars(part)[mutant.function], {}
    exec(mutant.text, vars(part), made)  # noqa: S102
    homes = [p for p in parts if vars(p).get(mutant.function) is old]
    for home in homes:
        setattr(home, mutant.function, made[mutant.function])
    try:
        yield
    finally:
        for home in homes:
            setattr(home, mutant.function, old)


def _late(*_):
    raise TimeoutError


def seen(adapter, asked):
    """The id of the first vector that tells a target from a right one, or ""."""
    target = InProcess(adapter)
    for document in asked:
        for vector in document["vectors"]:
            request = request_of(document, vector, vector["inputs"], "float64")
            reply = target.ask(request, exact_model(request))
            if find(vector, reply, "float64", set()).failed:
                return vector["id"]
    return ""


def survivors(form, samplers=True):
    """How many slips there are, and those that no vector sees."""
    parts = modules(form)
    every = sorted(documents(), key=lambda document: document["verb"] == "sample")
    every = [d for d in every if samplers or d["verb"] != "sample"]
    main = next(p for p in parts if p.__name__.endswith(f"{form}_form"))
    callers, count, left = reached(parts), 0, []
    signal.signal(signal.SIGALRM, _late)
    for part in parts:
        for mutant in mutants(Path(part.__file__).read_text()):
            asked = [d for d in every if d["family"] in callers[mutant.function]]
            if not asked:
                continue
            count += 1
            with put(part, mutant, parts), np.errstate(all="ignore"):
                signal.alarm(SECONDS)
                try:
                    found = seen(main, asked)
                except TimeoutError:
                    found = "it does not end"
                finally:
                    signal.alarm(0)
            if not found:
                left.append((part.__name__.rpartition(".")[2], mutant))
    return count, left


REASONS = (  # (what the slip's text holds, why no number can tell)
    ("mask", "the mask is 0 or 1"),
    ("_weight: np.log(t / (1 - t))", "squared"),
    ("p['eps']", "squared"),
    ("predicted(p, share", "squared"),
    ("x - mean", "squared"),
    ("timesteps", "absolute value"),
    ("root", "both differences change sign, and their quotient stays"),
    ("0 * output", "0 in any case"),
    ("len(", "a place beyond the last, where the search is cut off or never comes"),
)


def reason(slip):
    """Why a slip makes the same program, or ""."""
    return next((why for words, why in REASONS if words in slip), "")


def markdown(found):
    """The sums, and each slip that no vector sees."""
    lines = [
        "| writing | slips | seen | the same program | not seen |",
        "|---|---|---|---|---|",
    ]
    below = []
    for form, (count, left) in found.items():
        said = [
            (f"{name}.{m.function}: {m.slip}", reason(f"{m.function}: {m.slip}"))
            for name, m in left
        ]
        same = sum(bool(why) for _, why in said)
        cells = f"{form} form", count, count - len(left), same, len(left) - same
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        below += [f"- `{slip}`: {why or 'not seen'}" for slip, why in said]
    return "\n".join([*lines, "", *below])
