"""Write README.md's generated parts anew: the index and the list of references."""

from pathlib import Path

from refdiff import cite

ROOT = Path(__file__).resolve().parent.parent
START = "This table is `refdiff show` itself."

readme = ROOT / "README.md"
head = readme.read_text().split(START)[0]
keys = "\n".join(f"- `{key}`: {text}" for key, text in cite.KEYS.items())
readme.write_text(
    f"{head}{START}\n\n{cite.table()}\n\n## References\n\n{keys}\n\n"
    "MIT licence. Cite with CITATION.cff, and cite the tutorial.\n"
)
