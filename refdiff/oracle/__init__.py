"""The oracle: vectors at 50 digits, and a verdict on anybody's diffusion code.

`refdiff check` asks a target (adapter.py, child.py) every vector (vector.py), judges
each answer (judge.py, finding.py), names the bug (verdict.py) and reports (report.py).
The vectors are made by build.py from truth/ and museum/, at 50 digits.
"""

from importlib import import_module
from typing import Any

PUBLIC = {  # fetched when they are asked for: pytest loads the plugin in every run
    "Report": "check",
    "InProcess": "adapter",
    "load": "adapter",
    "Child": "child",
    "Finding": "finding",
    "Verdict": "verdict",
    "documents": "vector",
}
__all__ = [*PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """A public name, from its module."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"refdiff.oracle.{PUBLIC[name]}"), name)
