"""Synthetic mutants: one small slip in a program's text, everywhere it can be made.

Each is one function's text again with one change: a sign, an operation, a square, a
root, a dropped factor, an index one off, two arguments swapped.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

FUNCTIONS = ("sqrt", "exp", "log", "expm1", "log1p", "square")
SYMMETRIC = ("min", "max", "minimum", "maximum", "hypot", "multiply", "add")


class Mutant(NamedTuple):
    """One slip: the function that holds it, where, what, and the function's new text."""

    function: str
    line: int
    slip: str
    text: str


def _binary(node):
    """Slips in a + b, a - b, a * b, a / b, a ** b."""
    kind = type(node.op)
    other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
    if kind in other:
        name = f"{kind.__name__} to {other[kind].__name__}"
        yield name, ast.BinOp(node.left, other[kind](), node.right)
    if kind in (ast.Mult, ast.Div, ast.Pow):
        yield f"right of {kind.__name__} dropped", node.left
    if kind is ast.Mult:
        yield "left of Mult dropped", node.right
        yield "left of Mult squared", _power(node, 2)
        yield "root of left of Mult", _power(node, 0.5)
    if kind is ast.Sub:
        yield "Sub swapped", ast.BinOp(node.right, ast.Sub(), node.left)


def _power(node, n):
    """The product a * b with a^n for a."""
    return ast.BinOp(
        ast.BinOp(node.left, ast.Pow(), ast.Constant(n)), ast.Mult(), node.right
    )


def _call(node):
    """A root, exponential or other function of one argument forgotten; two swapped."""
    if len(node.args) == 1 and not node.keywords:
        name = ast.unparse(node.func)
        if name.rpartition(".")[2] in FUNCTIONS:
            yield f"{name} dropped", node.args[0]
    name = ast.unparse(node.func).rpartition(".")[2]
    if len(node.args) == 2 and not node.keywords and name not in SYMMETRIC:
        yield "arguments swapped", ast.Call(node.func, node.args[::-1], [])


def _subscript(node):
    """An index that is computed or a loop's, one off to either side."""
    if isinstance(node.slice, ast.Name | ast.BinOp) and isinstance(node.ctx, ast.Load):
        for op in (ast.Add, ast.Sub):
            shifted = ast.BinOp(node.slice, op(), ast.Constant(1))
            yield f"index {op.__name__} 1", ast.Subscript(node.value, shifted, node.ctx)


def _slips(node):
    """Every slip that can be made at one node, as (what, new node)."""
    if isinstance(node, ast.BinOp):
        yield from _binary(node)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.Subscript):
        yield from _subscript(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if isinstance(node.operand, ast.Constant):
            return  # -1 is an axis or the last place, of which there are two
        yield "minus dropped", node.operand


class _Replace(ast.NodeTransformer):
    """Put a new node where the old one, counted in order, stands."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


def mutants(text: str) -> Iterator[Mutant]:
    """Yield every mutant of a module's functions, each as the function's own text."""
    for function in [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]:
        nodes = list(_inner(function))
        for count, node in enumerate(nodes):
            for what, _ in _slips(node):
                twin = copy.deepcopy(function)
                old = list(_inner(twin))[count]
                _Replace(old, dict(_slips(old))[what]).visit(twin)
                slip = f"{ast.unparse(node)}: {what}"
                line = ast.unparse(ast.fix_missing_locations(twin))
                yield Mutant(function.name, node.lineno, slip, line)


def _inner(function):
    """The nodes of a function's body, in one order: not its arguments' annotations."""
    return ast.walk(ast.Module(function.body, []))
