"""The index of citations: which function is which equation, and which test proves it.

It is read from the docstrings' own `Source:` and `Test:` lines, without importing the
modules, so that the README's table and `refdiff show 2.25` cannot drift from the code.
"""

import ast
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from refdiff._check import ROOT

KEYS = {
    "Chan v3": "S. H. Chan, Tutorial on Diffusion Models for Imaging and Vision, "
    "arXiv 2403.18103v3, 2025",
    "Chan v1": "the same, version 1 of March 2024: for what version 3 left out",
    "Anderson82": "B. D. O. Anderson, Reverse-Time Diffusion Equation Models, 1982",
    "Bishop06": "C. M. Bishop, Pattern Recognition and Machine Learning, 2006",
    "Blackman21": "Blackman, Vigna, Scrambled Linear Pseudorandom Number Generators, 2021",
    "Bonneel15": "Bonneel, Rabin, Peyre, Pfister, Sliced and Radon Wasserstein "
    "Barycenters of Measures, 2015",
    "BoxMuller58": "Box, Muller, A Note on the Generation of Random Normal Deviates, "
    "1958",
    "ChangCooper70": "Chang, Cooper, A Practical Difference Scheme for Fokker-Planck Equations, "
    "1970",
    "CrankNicolson47": "Crank, Nicolson, A Practical Method for Numerical Evaluation of "
    "Solutions of Partial Differential Equations, 1947",
    "Efron11": "B. Efron, Tweedie's Formula and Selection Bias, 2011",
    "Elfwing18": "Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear Units for Neural "
    "Network Function Approximation in Reinforcement Learning, 2018",
    "Eve64": "J. Eve, The Evaluation of Polynomials, Numerische Mathematik 6, 1964",
    "Gillespie77": "D. T. Gillespie, Exact Stochastic Simulation of Coupled Chemical "
    "Reactions, 1977",
    "Hang23": "Hang, Gu, Li, Bao, Chen, Hu, Geng, Guo, Efficient Diffusion Training via "
    "Min-SNR Weighting Strategy, 2023",
    "Ho20": "Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020",
    "Hutchinson89": "M. F. Hutchinson, A Stochastic Estimator of the Trace of the Influence "
    "Matrix for Laplacian Smoothing Splines, 1989",
    "Hyvarinen05": "A. Hyvarinen, Estimation of Non-Normalized Statistical Models by "
    "Score Matching, 2005",
    "Karras22": "Karras, Aittala, Aila, Laine, Elucidating the Design Space of "
    "Diffusion-Based Generative Models, 2022",
    "Kingma14": "Kingma, Welling, Auto-Encoding Variational Bayes, 2014",
    "Kingma15": "Kingma, Ba, Adam: A Method for Stochastic Optimization, 2015",
    "Kingma21": "Kingma, Salimans, Poole, Ho, Variational Diffusion Models, 2021",
    "Kloeden92": "Kloeden, Platen, Numerical Solution of Stochastic Differential "
    "Equations, 1992",
    "Lin24": "Lin, Liu, Li, Yang, Common Diffusion Noise Schedules and Sample Steps "
    "are Flawed, 2024",
    "Loshchilov17": "Loshchilov, Hutter, SGDR: Stochastic Gradient Descent with Warm "
    "Restarts, 2017",
    "Lu22": "Lu, Zhou, Bao, Chen, Li, Zhu, DPM-Solver: A Fast ODE Solver for Diffusion "
    "Probabilistic Model Sampling in Around 10 Steps, 2022",
    "Lu23": "the same, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion "
    "Probabilistic Models, 2023",
    "Lucas19": "Lucas, Tucker, Grosse, Norouzi, Don't Blame the ELBO! A Linear VAE "
    "Perspective on Posterior Collapse, 2019",
    "Mueller79": "Mueller, Brown, Location of Saddle Points and Minimum Energy Paths by a "
    "Constrained Simplex Optimization Procedure, 1979",
    "Pawula67": "R. F. Pawula, Approximation of the Linear Boltzmann Equation by the "
    "Fokker-Planck Equation, 1967",
    "Nichol21": "Nichol, Dhariwal, Improved Denoising Diffusion Probabilistic Models, "
    "2021",
    "Pearlmutter94": "B. A. Pearlmutter, Fast Exact Multiplication by the Hessian, 1994",
    "Risken89": "H. Risken, The Fokker-Planck Equation, second edition, 1989",
    "Roberts96": "Roberts, Tweedie, Exponential convergence of Langevin distributions and "
    "their discrete approximations, 1996",
    "Salimans22": "Salimans, Ho, Progressive Distillation for Fast Sampling of "
    "Diffusion Models, 2022",
    "ScharfetterGummel69": "Scharfetter, Gummel, Large-Signal Analysis of a Silicon Read Diode "
    "Oscillator, 1969",
    "Song21": "Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, Score-Based "
    "Generative Modeling through Stochastic Differential Equations, 2021",
    "SongE19": "Song, Ermon, Generative Modeling by Estimating Gradients of the Data "
    "Distribution, 2019",
    "SongE20": "Song, Ermon, Improved Techniques for Training Score-Based Generative "
    "Models, 2020",
    "SongG19": "Song, Garg, Shi, Ermon, Sliced Score Matching: A Scalable Approach to "
    "Density and Score Estimation, 2019",
    "SongJ21": "J. Song, Meng, Ermon, Denoising Diffusion Implicit Models, 2021",
    "SongY21": "Y. Song, Durkan, Murray, Ermon, Maximum Likelihood Training of "
    "Score-Based Diffusion Models, 2021",
    "Steele14": "Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, "
    "2014",
    "Szekely13": "Szekely, Rizzo, Energy statistics: A class of statistics based on "
    "distances, 2013",
    "Theis16": "Theis, van den Oord, Bethge, A Note on the Evaluation of Generative "
    "Models, 2016",
    "Tipping99": "Tipping, Bishop, Probabilistic Principal Component Analysis, 1999",
    "VanLoan78": "C. F. Van Loan, Computing Integrals Involving the Matrix Exponential, "
    "1978",
    "Vaswani17": "Vaswani et al., Attention Is All You Need, 2017",
    "Vincent11": "P. Vincent, A Connection Between Score Matching and Denoising "
    "Autoencoders, 2011",
    "Welling11": "Welling, Teh, Bayesian Learning via Stochastic Gradient Langevin "
    "Dynamics, 2011",
    "Zhang23": "Zhang, Chen, Fast Sampling of Diffusion Models with Exponential "
    "Integrator, 2023",
}

NUMBER = r"[A-Z]?\.?\d+(?:\.\d+)*"
LOCATOR = (
    rf"(?:(?:Thm|Def|Ex|Fig|Table|Algorithm) {NUMBER}|Box {NUMBER} (?:training|inference)"
    rf"|\({NUMBER}\)(?:-\({NUMBER}\))?|{NUMBER}|[A-Z]\b)"
)
ITEM = re.compile(
    rf"({'|'.join(KEYS)}) (?:{LOCATOR}(?:(?:,| and) {LOCATOR})*(?: .*)?|for .+)"
)
NAMED = re.compile(r"\b(?:Thm|Def|Ex|Fig) \d+\.\d+|\bBox \d+\.\d+ \w+")
OLD = re.compile(r"Chan (v1 \d+\.\d+)")
EQUATION = re.compile(r"\((\d+)\.(\d+)\)(?:-\((\d+)\.(\d+)\))?")


@dataclass(frozen=True)
class Entry:
    """One public function or class: where it stands, what it cites, what proves it."""

    module: str
    name: str
    line: int
    code: str
    source: str
    test: str

    @property
    def items(self) -> list[str]:
        """The citations, without what follows `Departs:`."""
        cited = self.source.split("Departs:")[0]
        return [item.strip(" .") for item in cited.split(";")]

    @property
    def is_class(self) -> bool:
        """True for a class, False for a function or method."""
        return isinstance(ast.parse(self.code).body[0], ast.ClassDef)

    def rank(self, place: str) -> float:
        """How near an entry is to a place: 0 its own, then with others, then a misprint."""
        own = [item for item in self.items if item.startswith("Chan v3")]
        near = [k for k, item in enumerate(own) if place in _places(item)]
        if not near:
            return 9
        more = re.fullmatch(
            rf"Chan v3 {LOCATOR}(?:(?:,| and) {LOCATOR})*", own[near[0]]
        )
        first = own[near[0]].find(place) / 1000  # of several places, the earlier
        return near[0] + (0 if self.items[0] in own else 1) + (0 if more else 4) + first

    @property
    def places(self) -> set[str]:
        """Places of the tutorial that the entry speaks of: "Thm 2.5", "(2.25)", "v1 2.9"."""
        old = set(OLD.findall(self.source))
        if "Chan v3" not in self.source:
            return old
        chan = [item for item in self.items if item.startswith("Chan v3")]
        return old | _places("; ".join([*chan, *self.source.split("Departs:")[1:]]))


def _places(text):
    """Places named in a text, ranges of equations written out."""
    found = set(NAMED.findall(text))
    for chapter, first, _, last in EQUATION.findall(text):
        for n in range(int(first), int(last or first) + 1):
            found.add(f"({chapter}.{n})")
    return found


def _field(doc, name):
    """Text of a docstring's `name:` field, up to the next; `Departs:` belongs to `Source:`."""
    match = re.search(
        rf"^{name}: (.*?)(?=^(?!Departs)\w+: |\Z)", doc, re.MULTILINE | re.DOTALL
    )
    return " ".join(match[1].split()).rstrip(".") if match else ""


def _walk(tree, prefix=""):
    """Yield (qualified name, node) for public functions, classes and their methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _walk(node, f"{node.name}.")


@cache
def entries() -> tuple[Entry, ...]:
    """Every public function and class of the package, in the order of files and lines."""
    found = []
    for path in sorted((ROOT / "refdiff").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name, node in _walk(ast.parse(text)):
            doc = ast.get_docstring(node) or ""
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            code = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
            source, test = _field(doc, "Source"), _field(doc, "Test")
            found.append(Entry(module, name, node.lineno, code, source, test))
    return tuple(found)


def find(place: str) -> list[Entry]:
    """Entries that speak of a place: "2.25", "(2.25)", "Thm 2.5", "Ex 2.1", "Box 2.4".

    A bare number finds equations, theorems, definitions, examples and figures alike, a
    number in brackets equations alone; "Box 2.4" finds the boxed algorithms of section
    2.4, training and inference ("Algorithm 1" is that of 4.4), and "v1 2.9" a section
    that version 1 alone has. What is nearest to the place comes first.
    ValueError if place is none of these.
    """
    named = {"theorem": "Thm", "definition": "Def", "example": "Ex", "figure": "Fig"}
    if place.strip().lower() == "algorithm 1":
        place = "Box 4.4 inference"
    match = re.fullmatch(r"(v1|[A-Za-z]*)\.? ?(\(?\d+\.\d+\)?)( \w+)?", place.strip())
    if not match:
        raise ValueError(f"a place is a number such as 2.25 or Thm 2.5; got {place!r}")
    kind, number = named.get(match[1].lower(), match[1].capitalize()), match[2]
    if number.startswith("(") or kind == "Eq":
        wanted = {f"({number.strip('()')})"}
    elif kind == "Box":
        wanted = {f"Box {number} {half}" for half in ("training", "inference")}
        wanted = {box for box in wanted if box.endswith((match[3] or "").strip())}
    elif kind:
        wanted = {f"{kind.replace('V1', 'v1')} {number}"}
    else:
        wanted = {f"({number})", *(f"{kind} {number}" for kind in named.values())}
    found = [entry for entry in entries() if entry.places & wanted]
    return sorted(found, key=lambda e: min(e.rank(p) for p in wanted & e.places))


def code_of_test(test: str, folder: Path | None = None) -> str | None:
    """Source of a test named "test_x.py::test_name", or None outside a checkout."""
    file, _, name = test.partition("::")
    for tests in [folder] if folder else [ROOT / "tests", Path.cwd() / "tests"]:
        path = tests / file
        if path.is_file() and (tests.parent / "refdiff").is_dir():
            text = path.read_text(encoding="utf-8")
            for node in ast.parse(text).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return None


def _order(place):
    """Sort key of a place: chapter, kind (equations last), number."""
    chapter, number = re.search(r"(\d+)\.(\d+)", place).groups()
    kind = place.partition(" ")[0] if place[0] != "(" else ""
    return int(chapter), not kind, kind, int(number), place


def table() -> str:
    """Markdown table of the tutorial's places: place, function, test."""
    cited = {place for entry in entries() for place in entry.places}
    rows = ["| tutorial v3 | function | test |", "|---|---|---|"]
    for place in sorted(cited, key=_order):
        for entry in (e for e in entries() if place in e.places):
            function = f"`{entry.module.removeprefix('refdiff.')}.{entry.name}`"
            test = entry.test.partition("::")[2]
            rows.append(f"| {place} | {function} | `{test}` |")
    return "\n".join(rows)
