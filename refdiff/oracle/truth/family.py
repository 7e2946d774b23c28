"""What the oracle asks: families of questions, their cases, and known wrong answers.

A family is one thing that a diffusion library computes: a table, a step, a loss. Its
truth stands twice, by two derivations that must agree to 40 digits.

Two kinds of answer are not bounded by rounding (the checks are in judge.py):

truncation: the problem holds "steps" (a list of N), "order" and "bound"; the truth is
the exact end points (n, d), a target answers (len(steps), n, d). Its order, from the
first to the last N, must be order - 0.2 or more, and its error at the last N at most
bound. A wrong form answers as a target does.

statistical: the problem holds "n" and "law" ("means" of its components, ...); a target
answers samples (n, d). The truth is (2, q): what mean (d), covariance (d*d, by rows) and
share of each component (by nearest of means) are expected to be, and the standard
deviation that one draw puts on each. A wrong form answers (2, q) too.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Case(NamedTuple):
    """One question: a path of an id, the problem, and the arrays that are fed.

    id: "linear/trailing/N7/eta0.37/v/step-003", never reused
    problem: plain JSON values;  inputs: nested lists of floats exact in every precision
    result: "valid", or "must-refuse" where no answer is right
    degenerate: True where the zero answer or the input itself is right, by design
    at: for long tables, the entries that are kept of each output (None: all)
    """

    id: str
    problem: dict
    inputs: dict = {}  # noqa: RUF012
    result: str = "valid"
    degenerate: bool = False
    at: tuple | None = None


class Family(NamedTuple):
    """One kind of question, and its answer by two derivations.

    name: what an adapter calls its function;  tier: TABLE, STEP, LAW or STAT
    verb: table, step, loss, loglik or sample;  source: the equation
    text: what is asked and returned, for whoever writes an adapter
    truth(p, m), again(p, m) -> {output: array}: p is problem and inputs together, in
    the arithmetic m;  cases(large) -> the cases, few or many
    kinds: {output: "entry", each entry to its own size; "array", to the largest;
    "exact", integers; "truncation" or "statistical", see above}, "array" unless said
    affine: inputs in which the answer is affine, whose coefficients are published too
    law(p, m) -> {"mean", "cov"} of a sampler's answers on Gaussian data, or None: the
    start is N(0, p["start"]^2 I), published too
    """

    name: str
    tier: str
    verb: str
    source: str
    text: str
    truth: Callable
    again: Callable
    cases: Callable[[bool], Iterable[Case]]
    kinds: dict = {}  # noqa: RUF012
    affine: tuple = ()
    law: Callable | None = None


class Exhibit(NamedTuple):
    """A known wrong answer to a family's questions, or a convention that some choose.

    id: "VAR-06";  families: {family: wrong(p, m) -> {output: array}}, its smallest form,
    which raises ValueError where the bug does not apply
    wrong, right: the two forms in words;  link: where it was found
    grade: the museum's A, B or C, "synthetic", or "convention", whose id reads
    "name=value" as an adapter declares it
    tier: where it must be seen
    """

    id: str
    families: dict
    wrong: str
    right: str
    link: str
    grade: str
    tier: str = "STEP"
