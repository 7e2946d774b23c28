"""`refdiff check` and `refdiff vectors`."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FORMATS = ("text", "markdown", "json")
DTYPES = ("float64", "float32", "float16", "bfloat16")


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add both commands to a command line."""
    check = commands.add_parser(
        "check",
        help="find out whether somebody's diffusion code is right",
        description="Ask a target what the oracle's vectors ask, and say where it "
        "agrees, where it first differs, by how much, and whose bug that number is. "
        "Exit status 0: what it covers agrees; 1: something differs; 2: usage, or "
        "nothing is covered.",
    )
    add = check.add_argument
    add("target", nargs="?", help="a Python adapter: package.module[:adapter]")
    add("--cmd", help="a program of any language: JSON lines on stdin and stdout")
    add("--family", action="append", default=[], help="only this one (may be repeated)")
    add("--dtype", choices=DTYPES, help="judged in this one (what the target says)")
    add("--timeout", type=_seconds, default=10.0, metavar="S", help="a request's (10)")
    add("--format", choices=FORMATS, default="text", help="of the report (text)")
    add("--out", metavar="FILE", help="write the report there, and a line here")
    add(
        "--vectors", metavar="DIR", help="vectors of `refdiff vectors`, not the shipped"
    )
    add("--expect", metavar="FILE", help="ids that are known to fail, one a line")
    add("--list", action="store_true", help="what each family asks, and how")
    check.set_defaults(run=_check)
    vectors = commands.add_parser(
        "vectors", help="write the oracle's vectors, for a test suite in any language"
    )
    add = vectors.add_argument
    add("folder", help="where to")
    add("--family", action="append", default=[], help="only this one (may be repeated)")
    add("--large", action="store_true", help="the whole grid (minutes; needs mpmath)")
    vectors.set_defaults(run=_vectors)


def _seconds(text):
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds > 0; got {text}")
    return value


_seconds.__name__ = "number"


def files(folder: str | None) -> dict:
    """The file of each family in a folder (the shipped one, if none is named).

    ValueError if there are none.
    """
    from refdiff.oracle.vector import FOLDER

    folder = Path(folder or FOLDER)
    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if not found:
        raise ValueError(f"{folder}: there are no vectors in this folder")
    return found


def documents(folder: str | None, families: Sequence) -> list:
    """The documents of some families, or of all if none is named.

    ValueError if a family is unknown.
    """
    from refdiff.oracle.vector import read

    found = files(folder)
    unknown = sorted(set(families) - set(found))
    if unknown:
        known = ", ".join(found)
        raise ValueError(f"no family {', '.join(unknown)}; there are {known}")
    return [read(f) for name, f in found.items() if not families or name in families]


def child(target: str | None, command: str | None, timeout: float) -> Any:
    """The process to ask: a Python adapter's, or the command itself.

    ValueError if none or both are given.
    """
    from refdiff.oracle.child import Child

    if bool(target) == bool(command):
        raise ValueError("name one target: package.module:adapter, or --cmd COMMAND")
    if command:
        return Child(shlex.split(command), timeout)
    return Child([sys.executable, "-m", "refdiff.oracle.serve", target], timeout)


def known_failures(path: str | None) -> list:
    """The ids of a file, one a line; what follows # is a remark."""
    lines = Path(path).read_text().splitlines() if path else []
    return [word for line in lines if (word := line.split("#")[0].strip())]


def unknown_ids(expect: Sequence, asked: Sequence, known: Sequence) -> list:
    """Ids that no vector has: a typing error, most likely.

    Of a known family that is not asked, any id will do.
    """
    ids = {v["id"] for d in asked for v in d["vectors"]}
    families = {d["family"] for d in asked}
    unasked = set(known) - families
    return [e for e in expect if e not in ids and e.split("/")[0] not in unasked]


def _check(arguments):
    """Ask, judge, report."""
    from refdiff.oracle import report
    from refdiff.oracle.check import check

    asked = documents(arguments.vectors, arguments.family)
    if arguments.list:
        print("\n\n".join(map(report.question, asked)))
        return 0
    expect = known_failures(arguments.expect)
    known = files(arguments.vectors)
    if unknown := unknown_ids(expect, asked, known):
        raise ValueError(f"{arguments.expect}: no vector is named {unknown[0]}")
    target = child(arguments.target, arguments.cmd, arguments.timeout)
    found = check(target, asked, arguments.dtype, expect, _telling(), known)
    text = report.FORMATS[arguments.format](found)
    if arguments.out:
        Path(arguments.out).write_text(text + "\n")
        print(f"{report.summary(found)}: {arguments.out}")
    else:
        print(text)
    if found.status == 2:
        print("refdiff: the target covers no family that was asked", file=sys.stderr)
    return found.status


def _telling():
    """A function told(family) that shows it on a terminal, in one line."""
    bar = sys.stderr.isatty()

    def told(family):
        if bar:
            print(
                f"\r{family}\x1b[K" if family else "\r\x1b[K", end="", file=sys.stderr
            )

    return told


def _vectors(arguments):
    """Copy the shipped vectors and their schemas, or build the large set."""
    from refdiff.oracle.vector import FOLDER

    folder = Path(arguments.folder)
    if folder.resolve() == FOLDER.resolve():
        raise ValueError(
            f"{folder}: these are the shipped vectors; name another folder"
        )
    names = [d["family"] for d in documents(None, arguments.family)]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(FOLDER / "schema", folder / "schema", dirs_exist_ok=True)
    shutil.copy(FOLDER / "README.md", folder)
    if arguments.large:
        _build(folder, names)
    else:
        for name in names:
            shutil.copy(FOLDER / f"{name}.json", folder)
    print(f"{len(names)} families: {folder}")


def _build(folder, names):
    try:
        from refdiff.oracle.build import write

        write(folder, large=True, names=names)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--large needs {error.name}: pip install {error.name}"
        ) from error
