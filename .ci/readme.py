"""Check README.md's code blocks: run those in Python, parse those of the shell.

Python blocks run one after another in one namespace, and what they print must be the
text block that follows. Shell blocks are the commands that .ci/run itself executes;
here they are parsed. A block whose fence says `long` is only parsed.
"""

import contextlib
import io
import re
import subprocess
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main():
    """Check every block, and say how many ran."""
    blocks = [(m[1], "long" in m[2], m[3]) for m in BLOCK.finditer(README.read_text())]
    namespace, ran = {}, 0
    following = [*blocks[1:], ("", False, "")]
    for (kind, long, code), (next_kind, _, expected) in zip(
        blocks, following, strict=True
    ):
        if kind == "python":
            program, printed = compile(code, "README.md", "exec"), io.StringIO()
            if long:
                continue
            with contextlib.redirect_stdout(printed):
                exec(program, namespace)
            if next_kind == "text" and printed.getvalue() != expected:
                raise SystemExit(
                    f"README prints\n{expected}but got\n{printed.getvalue()}"
                )
            ran += 1
        elif kind == "sh":
            subprocess.run(["bash", "-n"], input=code, text=True, check=True)
    print(f"README: {ran} of {len(blocks)} blocks were run")


if __name__ == "__main__":
    main()
