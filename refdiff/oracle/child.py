"""A target in a process of its own, which may hang, die or babble as it likes.

One JSON request a line, one JSON reply a line. Threads move the lines, so no pipe that
fills up can stop the check; a child that is late is killed with its own children, and
the next question starts another.
"""

import collections
import itertools
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from refdiff.oracle.adapter import plain

LIMIT = 2**26  # bytes of a line: more is no answer
NOISE = 1000  # lines that are no JSON, before it is a flood
PATIENCE = 6  # time limits that a sampler has which goes on asking its model


class Child:
    """A command, started when it is first asked.

    timeout: seconds for each request;  start: for the first, which imports what it needs
    """

    def __init__(
        self, command: Sequence[str], timeout: float = 10.0, start: float = 60.0
    ):
        self.command, self.timeout = list(command), timeout
        self.start, self.hello = max(start, timeout), None
        self.process, self.noise = None, b""

    def ask(self, request: dict, model: Callable | None = None) -> dict:
        """Send a request and wait for its reply; {"dead": why} if there is none.

        A new process is asked for its capabilities again first, as it may be slow.
        OSError if the command cannot be started.
        """
        first = request["verb"] == "capabilities"
        self.hello = request if first else self.hello
        if self.process is None:
            self._start()
            if self.hello and not first:
                reply = self._exchange(self.hello, None, self.start)
                if "dead" in reply:
                    return reply
        return self._exchange(request, model, self.start if first else self.timeout)

    def _exchange(self, request, model, limit):
        """One request and its reply, with calls of the model between them."""
        self._drain()
        self._send(request)
        last = time.monotonic() + PATIENCE * limit
        deadline, noise = time.monotonic() + limit, 0
        while True:
            try:
                line = self.lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                return self._bury(self._late(limit, noise))
            if line is None:
                return self._bury(self._ended())
            message = _message(line, request["id"])
            if message is None:
                self.noise, noise = line, noise + 1
                if noise > NOISE:
                    return self._bury("floods its output with what is no JSON")
            elif "model" not in message:
                return message
            else:
                output = _evaluated(model, message["model"])
                if isinstance(output, str):
                    return self._bury(output)
                self._send({"output": output})
                deadline = min(time.monotonic() + limit, last)  # it is alive

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self._bury("")

    def _start(self):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.over = threading.Event()
        self.lines, self.requests = queue.Queue(NOISE), queue.Queue()
        self.words = collections.deque(maxlen=20)
        jobs = (self._read, self._read_words, self._write)
        pipes = (self.process.stdout, self.process.stderr, self.process.stdin)
        rest = self.lines, self.words, self.requests
        self.threads = [
            threading.Thread(target=job, args=(pipe, to, self.over), daemon=True)
            for job, pipe, to in zip(jobs, pipes, rest, strict=True)
        ]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _read(pipe, lines, over):
        ends = itertools.chain(iter(lambda: pipe.readline(LIMIT), b""), [None])
        for line in ends:
            while not over.is_set():
                try:
                    lines.put(line, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if over.is_set():
                return

    @staticmethod
    def _read_words(pipe, words, over):
        for line in iter(lambda: pipe.readline(LIMIT), b""):
            words.append(line.decode(errors="replace").strip())

    @staticmethod
    def _write(pipe, requests, over):
        try:
            for line in iter(requests.get, None):
                pipe.write(line)
                pipe.flush()
        except OSError:
            return  # it died; reading will say so

    def _send(self, message):
        self.requests.put(json.dumps(message).encode() + b"\n")

    def _drain(self):
        """Forget lines that nothing was asked for."""
        while not self.lines.empty():
            line = self.lines.get()
            if line is None:
                self.lines.put(None)
                return
            self.noise = line

    def _late(self, limit, noise):
        if noise:
            return f"answers what is no JSON: {_short(self.noise)}"
        return f"hangs: no answer within {limit:g} s"

    def _ended(self):
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "closed its output and went on"
        time.sleep(0.05)  # its last words may still be on their way
        said = [line for line in self.words if line]
        errors = [line for line in said if "Error" in line]
        words = "; ".join(errors[-1:] or said[-3:])
        named = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"crashed: {named}" + (f": {words[-300:]}" if words else "")

    def _bury(self, why):
        """Kill the process and what it started, and say why it had to be."""
        self.over.set()
        self.requests.put(None)
        if hasattr(os, "killpg"):
            _quietly(os.killpg, self.process.pid, signal.SIGKILL)
        _quietly(self.process.kill)
        self.process.wait()
        for thread in self.threads:
            thread.join(timeout=1)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if not any(thread.is_alive() for thread in self.threads):
                _quietly(pipe.close)
        self.process = None
        return {"dead": why}


def _quietly(f, *arguments):
    try:
        f(*arguments)
    except OSError:
        pass


def _message(line, name):
    """A line as a reply to this request, or None."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict) and message.get("id", name) == name:
        return message
    return None


def _evaluated(model, call):
    """The model's output as lists, or what was wrong with the call."""
    if model is None:
        return "calls back for a model, which this question does not give"
    try:
        x, t = np.asarray(call["x"], float), call["t"]
        return plain(model(x, np.asarray(t, float)[()]))
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported
        return f"calls the model with what it cannot take: {error}"


def _short(line):
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")
