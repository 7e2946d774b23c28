"""`python -m tests.peers [--all]`: the table in Markdown, short or by family."""

import sys

from . import table
from .making import diffusers, torch


def main(arguments: list) -> None:
    """Print the table, and what its findings say."""
    rows = table.full()
    print(f"diffusers {diffusers.__version__}, torch {torch.__version__}\n")
    print("\n".join(table.lines(rows) if "--all" in arguments else table.short(rows)))
    print()
    for reason, text in table.REASONS.items():
        print(f"- `{reason}`: {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
