"""The tutorial's misprints and slips, each with the number that tells right from wrong.

A record says what version 3 prints, what is right and what follows, and computes one
quantity three ways: by the printed form, by the right one, and by a route that uses
neither. The package uses the printed forms nowhere else.
"""

import re
import textwrap

from refdiff.errata.chapter_1 import CHAPTER_1
from refdiff.errata.chapter_2 import CHAPTER_2
from refdiff.errata.chapter_3 import CHAPTER_3
from refdiff.errata.chapter_4 import CHAPTER_4
from refdiff.errata.chapter_5 import CHAPTER_5
from refdiff.errata.record import Erratum

ERRATA = (*CHAPTER_1, *CHAPTER_2, *CHAPTER_3, *CHAPTER_4, *CHAPTER_5)
KINDS = {"theorem": "thm", "example": "ex", "figure": "fig", "definition": "def"}
KINDS |= {"equation": "(", "eq": "(", "eqn": "("}


def find(place: str) -> list[Erratum]:
    """Records of a place, however it is written: "2.26", "(2.26)", "Ex 1.6", "Box 2.4".

    Where no record has the place for its own, those that mention the equation are meant.
    ValueError if place holds no number.
    """
    if place.strip().lower() == "algorithm 1":
        place = "Box 4.4 inference"
    wanted = re.fullmatch(r"\s*([A-Za-z]*)\W*(\d+\.\d+)\W*(\w*)\s*", place)
    if not wanted:
        raise ValueError(f"a place is a number such as 2.26 or Ex 1.6; got {place!r}")
    kind, number, half = (part.lower() for part in wanted.groups())
    kind = "(" if place.strip().startswith("(") else KINDS.get(kind, kind)
    own = [
        erratum
        for erratum in ERRATA
        if re.search(rf"(?<!\d){re.escape(number)}(?!\d)", erratum.place)
        and erratum.place.lower().startswith(kind)
        and erratum.place.endswith(half)
    ]
    mentioned = f"Ex {number}" if kind == "ex" else f"({number})"
    return own or [
        e for e in ERRATA if kind in ("", "(", "ex") and mentioned in e.follows
    ]


def table() -> str:
    """Return every slip in two lines: what is printed, then what is right."""
    return "\n".join(
        f"{e.place:18} printed  {e.printed}\n{'':18} right    {e.right}" for e in ERRATA
    )


def report(erratum: Erratum) -> str:
    """One slip in full, with its numbers computed anew."""
    n = erratum.measure()
    return (
        f"{erratum.place}\n  printed  {erratum.printed}\n  right    {erratum.right}\n"
        f"{textwrap.fill(erratum.follows, 80)}\n{n.quantity}:\n  printed  {n.printed:.10g}\n"
        f"  right    {n.right:.10g}\n  truth    {n.truth:.10g}, by {n.route}"
    )
