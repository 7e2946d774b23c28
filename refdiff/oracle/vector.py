"""The vectors as files: where they are, and reading them."""

import json
from collections.abc import Iterator
from pathlib import Path

FORMAT = 1
FOLDER = Path(__file__).parent / "vectors"


def documents(folder: Path = FOLDER, family: str | None = None) -> Iterator[dict]:
    """Yield each family's document: a header, and its list of vectors.

    ValueError if a file has another format than this version reads.
    """
    for path in sorted(Path(folder).glob("*.json")):
        if family is None or path.stem == family:
            yield read(path)


def read(path: Path) -> dict:
    """Read one family's document.

    ValueError if it is none, or has another format than this version reads.
    """
    document = json.loads(Path(path).read_text())
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path}: format must be {FORMAT}; got {found}")
    return document
