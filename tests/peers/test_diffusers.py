"""What diffusers answers is what the table says: no more differs, and no less."""

import json

import pytest

from . import table
from .making import diffusers

# torch and NumPy warn of each other inside of diffusers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PLACES = [
    (a.name, f)
    for a in table.ADAPTERS
    for f, function in vars(a).items()
    if callable(function)
]


def _verdict(name, family):
    return next(v for v in table.report(name).verdicts if v.family == family)


@pytest.mark.parametrize("name, family", PLACES)
def test_exactly_the_known_vectors_differ(name, family):
    """Strict: a known one that agrees is mended, and must be struck."""
    assert table.failing(_verdict(name, family)) == sorted(table.known(name, family))


@pytest.mark.parametrize("name, family", PLACES)
def test_every_family_that_is_offered_is_asked(name, family):
    verdict = _verdict(name, family)
    assert verdict.status != "not covered"


@pytest.mark.parametrize("name", [a.name for a in table.ADAPTERS])
def test_declared_conventions_are_those_that_are_needed(name):
    """Each one declared is asked for by some vector, and answered."""
    found = table.report(name)
    used = {c for v in found.verdicts for c in v.conventions}
    declared = {f"{k}={v}" for k, v in found.conventions.items()}
    assert used == declared and not found.faults


def test_every_reason_is_explained_and_used():
    used = {r for by in table.KNOWN.values() for f in by.values() for r in f}
    assert used == set(table.REASONS)


def test_the_oracle_names_the_bugs_that_it_knows():
    """The exhibit that gives the library's own number, wherever it has one."""
    named = {
        ("DDIMScheduler", "ddim"): "SYN-fixed-stride",
        ("DDIMInverseScheduler", "ddim_inverse"): "SYN-fixed-stride",
        ("FlowMatchEulerDiscreteScheduler", "flow_sigmas"): "SCH-08",
        ("FlowMatchHeunDiscreteScheduler", "flow_sigmas"): "SCH-08",
        ("EulerDiscreteScheduler", "edm_heun"): "SYN-churn-from-sigma",
        ("DDPMScheduler", "ddpm_sampler"): "last_noise=added",
    }
    for (name, family), exhibit in named.items():
        assert exhibit in _verdict(name, family).bugs, (name, family)


def test_karras_ve_is_the_exhibit_in_its_mended_form():
    bugs = _verdict("KarrasVeScheduler", "exponential_sigmas").bugs
    assert any(exhibit.startswith("SCH-04") for exhibit in bugs)


def test_float32_keeps_the_digits_that_the_table_says():
    """The fewest of a whole family, over all schedulers; found 3.1 to 7.2."""
    least = json.loads((table.HERE / "digits.json").read_text())
    for family, digits in least.items():
        found = [
            v.digits
            for a in table.ADAPTERS
            for v in table.report(a.name).verdicts
            if v.family == family and v.digits is not None
        ]
        assert min(found) > digits - 0.5, (family, diffusers.__version__)


def test_the_table_has_a_row_for_every_scheduler_and_no_unknown_finding():
    rows = table.full()
    assert len(rows) == len(PLACES)
    assert len(table.lines(rows)) == len(rows) + 2
    assert len(table.short(rows)) == len(table.ADAPTERS) + 2
    assert not any("?" in cells[-1] for cells in rows)
