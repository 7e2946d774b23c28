"""Every small slip in a right program, and whether the oracle notices it.

The program is one of the three writings. A slip is made in one function at a time; the
families that reach it are asked until one of them differs. Whole samplers are left out:
what a step's own vectors do not see is counted as not seen.
"""

import ast
import contextlib
import importlib
import signal
import sys
from pathlib import Path

import numpy as np

from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import request_of
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
    """{function: names of all functions from which it is reached, itself among them}."""
    uses = {}
    for part in parts:
        for node in ast.parse(Path(part.__file__).read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                inner = list(ast.walk(node))
                names = {n.id for n in inner if isinstance(n, ast.Name)}
                names |= {n.attr for n in inner if isinstance(n, ast.Attribute)}
                uses[node.name] = names
    return {name: _callers(name, uses) for name in uses}


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
    exec(mutant.text, vars(part), made)
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
            if find(vector, target.ask(request), "float64", set()).failed:
                return vector["id"]
    return ""


def survivors(form):
    """How many slips there are, and those that no vector sees."""
    parts, every = modules(form), [d for d in documents() if d["verb"] != "sample"]
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


if __name__ == "__main__":
    for form in sys.argv[1:] or ["x0"]:
        count, left = survivors(form)
        for name, mutant in left:
            print(f"{name}:{mutant.line} {mutant.function}: {mutant.slip}")
        print(f"{form}: {count} slips, {len(left)} not seen")
