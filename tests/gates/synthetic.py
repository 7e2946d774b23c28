"""Every small slip in a right program, and whether the oracle notices it.

The program is one of the three writings. A slip is made in one function at a time; the
families that reach it are asked, whole samplers last, until one of them differs. What no
vector sees is listed with the reason: mostly it is the same program.
"""

import ast
import contextlib
import importlib
import inspect
import signal
from pathlib import Path

import numpy as np

from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import exact_model, request_of
from refdiff.oracle.finding import find
from refdiff.oracle.vector import documents
from tests.gates.mutants import mutants
from tests.gates.reasons import reason

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
def put(part, mutant):
    """Give a function the mutant's code: whoever holds it, a table too, calls the mutant.

    A decorated function is the one within: the decorator's own code is no mutant.
    """
    made = {}
    exec(mutant.text, vars(part), made)  # noqa: S102
    function = inspect.unwrap(vars(part)[mutant.function])
    right = function.__code__
    function.__code__ = inspect.unwrap(made[mutant.function]).__code__
    try:
        yield
    finally:
        function.__code__ = right


def _late(*_):
    raise TimeoutError


def seen(adapter, asked):
    """The id of the first vector that tells a target from a right one, or ""."""
    for document in asked:
        for vector in document["vectors"]:
            reply = _reply(adapter, document, vector)
            if find(vector, reply, "float64", set()).failed:
                return vector["id"]
    return ""


def _reply(adapter, document, vector):
    """The answer to one vector, an error if it takes too long."""
    request = request_of(document, vector, vector["inputs"], "float64")
    signal.alarm(SECONDS)
    try:
        return InProcess(adapter).ask(request, exact_model(request))
    except TimeoutError as error:
        return {"error": repr(error)}
    finally:
        signal.alarm(0)


def survivors(form, samplers=True):
    """How many slips there are, and those that no vector sees."""
    parts = modules(form)
    every = sorted(documents(), key=lambda document: document["verb"] == "sample")
    every = [d for d in every if samplers or d["verb"] != "sample"]
    main = next(p for p in parts if p.__name__.endswith(f"{form}_form"))
    callers, count, left = reached(parts), 0, []
    signal.signal(signal.SIGALRM, _late)
    for part, mutant in _placed(parts):
        asked = [d for d in every if d["family"] in callers[mutant.function]]
        if not asked:
            continue
        count += 1
        with put(part, mutant), np.errstate(all="ignore"):
            if not seen(main, asked):
                left.append((part.__name__.rpartition(".")[2], mutant))
    return count, left


def _placed(parts):
    """Each module and mutant of a writing; a decorator has run before one could come."""
    trees = [ast.parse(Path(part.__file__).read_text()) for part in parts]
    inner = [n for tree in trees for n in ast.walk(tree)]
    functions = [n for n in inner if isinstance(n, ast.FunctionDef)]
    above = {ast.unparse(name) for f in functions for name in f.decorator_list}
    for part in parts:
        for mutant in mutants(Path(part.__file__).read_text()):
            if mutant.function not in above:
                yield part, mutant


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
