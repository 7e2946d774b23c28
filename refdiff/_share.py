"""Work on many particles, shared among threads of the standard library."""

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress

import numpy as np

from refdiff._check import whole

PIECES = 8  # for each thread, so that one that is held up delays the end by little


def shared(
    threads: int | None, n: int, block: int, work: Callable[[int, int], None]
) -> None:
    """Call work(lo, hi) for pieces of range(n), whole blocks each, in threads.

    One of them is the caller's. What work raises is raised; None: as many as there are
    processors, or as NUMBA_NUM_THREADS says.
    """
    threads = _as_many_as_numba() if threads is None else threads
    whole(threads=threads)
    blocks = -(-n // block)
    parts = min(PIECES * threads, blocks)
    edges = [blocks * part // parts * block for part in range(parts)] + [n]

    def quietly(part):  # without compilation, integers that wrap would warn
        with np.errstate(all="ignore"):
            work(edges[part], edges[part + 1])

    if threads == 1 or parts == 1:
        for part in range(parts):
            quietly(part)
    else:
        _together(threads, parts, quietly)


def in_each(
    begin: Callable[[], Callable[[int, int], None]],
) -> Callable[[int, int], None]:
    """work(lo, hi), where each thread has a work = begin() of its own."""
    own = threading.local()

    def work(lo, hi):
        if not hasattr(own, "work"):
            own.work = begin()
        own.work(lo, hi)

    return work


def _as_many_as_numba():
    """What numba's variable says, or all processors that the process may run on."""
    given = os.environ.get("NUMBA_NUM_THREADS", "").strip()
    if given and not (given.isdecimal() and int(given)):
        raise ValueError(f"NUMBA_NUM_THREADS must be 1 or more; got {given!r}")
    with suppress(AttributeError):
        return int(given or len(os.sched_getaffinity(0)))
    return int(given or os.cpu_count() or 1)


def _together(threads, parts, piece):
    """Call piece(part) for parts in threads, of which the caller's takes the last."""
    from concurrent.futures import ThreadPoolExecutor  # imported late, as it is slow

    here, elsewhere, anywhere = _processors()

    def first(part):
        with _kept_to(elsewhere, anywhere):
            piece(part)

    pool = ThreadPoolExecutor(threads - 1, initializer=_move, initargs=(anywhere,))
    try:
        with _kept_to(here, anywhere):
            begun = [
                pool.submit(first if part < threads - 1 else piece, part)
                for part in range(parts)
            ]
            if begun[-1].cancel():
                piece(parts - 1)
        for part in reversed(range(parts - 1)):  # the caller's: what no other has begun
            if begun[part].cancel():
                piece(part)
    finally:  # of pieces that are left, after Ctrl-C for one, none is begun
        pool.shutdown(cancel_futures=True)
    for other in begun:
        if not other.cancelled():
            other.result()


def _processors():
    """Where the caller's thread is, where it is not, and all: on Linux, else nothing.

    A virtual processor that sleeps looks busy to its system, which for some milliseconds
    lets new threads run on the caller's: so each begins its first piece on another.
    """
    with suppress(AttributeError, OSError):
        anywhere = os.sched_getaffinity(0)
        here = {ctypes.CDLL(None).sched_getcpu()}
        if here < anywhere:
            return here, anywhere - here, anywhere
    return set(), set(), set()


def _move(processors):
    """Let this thread run on these processors alone, if any."""
    if processors:
        with suppress(OSError):
            os.sched_setaffinity(0, processors)


@contextmanager
def _kept_to(processors, afterwards):
    """Run on some processors here, and on others afterwards."""
    try:
        _move(processors)
        yield
    finally:
        _move(afterwards)
