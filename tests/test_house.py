"""The house rules as code: imports point up, every citation and test exists."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refdiff import cite

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "refdiff"

# The order of the house, top first; a module imports only from above itself.
HOUSE = """
__init__ _check _share _kept gaussian mixture net train toys densities elementary noise compiled kernel_noise kernel_score kernel_net kernel schedule targets chain
probe _tables fast fast_net codes vae estimators autoencoder forward ddpm losses elbo ddim kernels score matching langevin ode solvers rates sde reversal
ornstein exponential edm predictors samplers likelihood brownian heat master kramers_moyal fokker_planck
metrics plots errata oracle cite data results tour tour_vae tour_ncsn tour_samplers cli __main__
"""
ORDER = HOUSE.split()
COMPILED = (  # plain arrays, of which numba finds the types, and what it is given
    "_tables",
    "compiled",
    "kernel_noise",
    "kernel_score",
    "kernel",
    "kernel_net",
)
START, END = ORDER.index("gaussian"), ORDER.index("fokker_planck") + 1
FORMULAS = [module for module in ORDER[START:END] if module not in COMPILED]
ALLOWED = {"numpy", "scipy", "matplotlib", "numba", "refdiff"}
GUESTS = {"oracle/truth/arithmetic.py": {"mpmath"}, "oracle/plugin.py": {"pytest"}}
GUESTS |= {"_kept.py": {"llvmlite"}}  # numba's own half, which is imported without it


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def noun(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Modules that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "refdiff":
                yield from (f"refdiff.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=noun)
def test_imports_point_up_the_house(path):
    for name in imports(path):
        top, *rest = name.split(".")
        guests = GUESTS.get(path.relative_to(PACKAGE).as_posix(), set())
        assert top in ALLOWED | guests | sys.stdlib_module_names, f"{path}: {name}"
        if top == "refdiff" and rest:
            assert rest[0] in ORDER, f"{rest[0]} has no place in the house"
            above = ORDER.index(rest[0]) < ORDER.index(noun(path))
            assert above or rest[0] == noun(path), f"{path} imports {name} below it"


def test_the_import_test_sees_imports_inside_functions(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from refdiff import cli\n    import numba.core\n")
    assert list(imports(file)) == ["refdiff.cli", "numba.core"]


@pytest.mark.parametrize("entry", cite.entries(), ids=lambda e: f"{e.module}.{e.name}")
def test_every_citation_parses_and_names_a_test_that_exists(entry):
    formula = entry.module.split(".")[1] in FORMULAS
    if formula and not entry.is_class:
        assert entry.source, f"{entry.name} has no Source"
        assert entry.test, f"{entry.name} has no Test"
    if entry.source:
        for item in entry.items:
            assert item == "definition" or cite.ITEM.fullmatch(item), item
    if entry.test:
        assert cite.code_of_test(entry.test, ROOT / "tests"), entry.test


@pytest.mark.control
@pytest.mark.parametrize(
    "item", ["Chan v3", "Chan v4 (2.25)", "Nobody99 (1)", "Ho20", "(2.25)", "Ho20 eq"]
)
def test_bad_citations_do_not_parse(item):
    assert not cite.ITEM.fullmatch(item)


def test_public_signatures_are_annotated():
    for entry in cite.entries():
        if entry.module.split(".")[1] in COMPILED or _asked(entry):
            continue
        (node,) = ast.parse(entry.code).body
        if isinstance(node, ast.FunctionDef):
            a = node.args
            arguments = [*a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
            bare = [x.arg for x in arguments if not (x.annotation or x.arg == "self")]
            assert not bare, f"{entry.module}.{entry.name}: {bare}"
            assert node.returns, f"{entry.module}.{entry.name}"


def _asked(entry):
    """Whether it answers a family of the oracle: p, or p and m, of one form for all."""
    return re.match(r"refdiff\.oracle\.(truth|museum|reference)", entry.module)


def test_every_key_is_used():
    text = " ".join(entry.source for entry in cite.entries())
    assert [key for key in cite.KEYS if key not in text] == []


def test_docstrings_are_short():
    for entry in cite.entries():
        doc = ast.get_docstring(ast.parse(entry.code).body[0]) or ""
        assert len(doc.splitlines()) <= 12, f"{entry.module}.{entry.name}"


def test_modules_are_short():
    for path in modules():
        assert len(path.read_text().splitlines()) <= 300, path.name


def test_the_import_is_light():
    """`import refdiff` loads neither numba nor Matplotlib nor SciPy, nor do the chapters."""
    names = [
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in modules()
        if path.stem not in (*COMPILED, "plots", "plugin", "__main__", "__init__")
    ]
    heavy = "('numba', 'matplotlib', 'scipy')"
    code = (
        "import sys, refdiff\n"
        f"for name in {names!r}:\n"
        "    __import__('refdiff.' + name)\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_place_is_found_however_it_is_written():
    names = {e.name for e in cite.find("2.25")}
    assert names == {e.name for e in cite.find("(2.25)")}
    assert "q_posterior" in names
    assert {"q_posterior"} == {e.name for e in cite.find("Thm 2.5")}
    assert {"q_posterior"} == {e.name for e in cite.find("theorem 2.5")}
    assert "q_posterior" in {e.name for e in cite.find("2.26")}  # as a misprint
    assert "example_2_1" in {e.name for e in cite.find("Ex 2.1")}
    assert {e.name for e in cite.find("eq 2.1")} == {e.name for e in cite.find("(2.1)")}
    assert "example_2_1" not in {e.name for e in cite.find("(2.1)")}
    assert cite.find("99.1") == []
    with pytest.raises(ValueError, match="a place is"):
        cite.find("two")


HALVES = ("training", "inference")
WHOLE = {  # chapter: (definitions, theorems, examples, equations, figures, boxes)
    1: (4, 4, 8, 35, (), ("1.3 inference",)),
    2: (
        1,
        9,
        2,
        60,
        (5, 7, 10, 11),
        tuple(f"2.{k} {h}" for k in (4, 5) for h in HALVES),
    ),
    3: (1, 4, 5, 13, (2, 3, 4, 5, 6, 7), tuple(f"3.3 {half}" for half in HALVES)),
    5: (4, 10, 7, 47, (1, 2), ()),
    4: (2, 4, 8, 24, (1, 2, 3, 4, 5, 6), ("4.4 inference",)),
}


@pytest.mark.parametrize("chapter", WHOLE)
def test_no_place_of_a_chapter_is_missing_from_the_index(chapter):
    """Every theorem, example, boxed algorithm, numbered equation and computed figure."""
    *counts, figures, boxes = WHOLE[chapter]
    forms = "Def {}.{}", "Thm {}.{}", "Ex {}.{}", "({}.{})"
    wanted = {
        form.format(chapter, n)
        for form, count in zip(forms, counts, strict=True)
        for n in range(1, count + 1)
    }
    wanted |= {f"Fig {chapter}.{n}" for n in figures} | {f"Box {box}" for box in boxes}
    cited = {place for entry in cite.entries() for place in entry.places}
    assert sorted(wanted - cited) == []
    for n in figures:
        assert list((ROOT / "figures").glob(f"fig_{chapter}_{n:02d}_*.png"))


def test_boxes_and_version_1_are_found():
    assert {e.name for e in cite.find("Box 2.5 inference")} == {"ddpm_step"}
    assert {"loss", "ddpm_step"} == {e.name for e in cite.find("box 2.5")}
    of_4_4 = [e.name for e in cite.find("Algorithm 1")]
    assert of_4_4 == [e.name for e in cite.find("Box 4.4")]
    assert set(of_4_4) == {"vp_predictor", "pc_chain"}
    assert {"indi_mix", "indi_step", "indi_chain"} == {
        e.name for e in cite.find("v1 2.9")
    }


def test_what_is_nearest_to_a_place_comes_first():
    """Not "solved for x0", nor what only departs from it, nor what cites it second."""
    found = {
        p: [e.name for e in cite.find(p)] for p in ("2.25", "Ex 1.6", "2.11", "2.26")
    }
    assert found["2.25"] == ["q_posterior", "x0_from_mu"]
    assert found["Ex 1.6"] == ["elbo_surface", "prior_kl"]
    assert found["2.11"][0] == "q_sample"
    assert found["2.26"] == ["q_posterior", "sigma_q"]
    firsts = {"Thm 4.1": "vp", "Thm 4.2": "reverse", "Thm 4.4": "reverse"}
    for place, name in firsts.items():
        assert cite.find(place)[0].name == name


def test_ranges_of_equations_are_expanded():
    entry = cite.Entry("m", "f", 1, "", "Chan v3 Thm 2.9, (2.53)-(2.55); Ho20 (6)", "")
    assert entry.places == {"Thm 2.9", "(2.53)", "(2.54)", "(2.55)"}


def test_code_of_a_test_is_found_in_a_checkout_only(tmp_path, monkeypatch):
    code = cite.code_of_test("test_ddpm.py::test_q_posterior_is_bayes_rule")
    assert code.startswith("@pytest.mark.identity")
    assert "gaussian.condition" in code
    assert cite.code_of_test("test_ddpm.py::no_such_test") is None
    assert cite.code_of_test("test_ddpm.py::x", tmp_path) is None
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("def test_y():\n    assert True\n")
    assert cite.code_of_test("test_x.py::test_y", tmp_path / "tests") is None
    (tmp_path / "refdiff").mkdir()
    assert "assert True" in cite.code_of_test("test_x.py::test_y", tmp_path / "tests")


def test_the_readme_holds_the_generated_tables():
    readme = (ROOT / "README.md").read_text()
    assert cite.table() in readme
    for key in cite.KEYS:
        assert re.search(rf"^- `{key}`", readme, re.MULTILINE), key
