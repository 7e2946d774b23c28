"""The child's side: an adapter that answers JSON lines on stdin with lines on stdout.

`python -m refdiff.oracle.serve package.module:adapter`. What the adapter prints goes to
stderr, whoever prints it, so that stdout carries replies alone.
"""

import json
import os
import sys

from refdiff.oracle.adapter import answer, capabilities, load, plain


def _own_pipes():
    """Return stdin and stdout, and leave the adapter an empty stdin and stderr."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    return requests, replies


def main() -> int:
    """Answer until stdin ends."""
    requests, replies = _own_pipes()
    sys.path.insert(0, os.getcwd())

    def write(message):
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        adapter = load(sys.argv[1])
    except BaseException as error:  # noqa: BLE001  whatever it is, it is reported
        write({"import": f"{sys.argv[1]}: {type(error).__name__}: {error}"})
        return 2
    for line in iter(requests.readline, ""):
        request = json.loads(line)
        reply = _reply(adapter, request, requests, write)
        write({"id": request["id"], **reply})
    return 0


def _reply(adapter, request, requests, write):
    """One reply, ready for JSON."""
    if request["verb"] == "capabilities":
        return capabilities(adapter, request["families"])
    model = None
    if request["verb"] == "sample":
        model = _model(requests, write)
    reply = answer(adapter, request, model)
    if "outputs" in reply:
        reply["outputs"] = plain(reply["outputs"])
    return reply


def _model(requests, write):
    """The exact model, which the check evaluates."""

    def model(x, t):
        write({"model": {"x": plain(x), "t": plain(t)}})
        reply = json.loads(requests.readline())
        return reply["output"]

    return model


if __name__ == "__main__":
    sys.exit(main())
