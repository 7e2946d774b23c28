"""Work on many particles, shared among threads of the standard library."""

from collections.abc import Callable

import numpy as np

from refdiff._check import whole

PIECES = 8  # for each thread, so that one that is held up delays the end by little


def shared(
    threads: int | None, n: int, block: int, work: Callable[[int, int], None]
) -> None:
    """Call work(lo, hi) for pieces of range(n), whole blocks each, in threads.

    One of them is the caller's: two new ones often begin on the same processor, and
    share it for some milliseconds. What work raises is raised; None: as many as numba.
    """
    from concurrent.futures import ThreadPoolExecutor  # imported late, as it is slow

    from numba import config

    threads = config.NUMBA_NUM_THREADS if threads is None else threads
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
        return
    pool = ThreadPoolExecutor(threads - 1)
    try:
        begun = [pool.submit(quietly, part) for part in range(parts)]
        for part in reversed(range(parts)):  # the caller's: what no other has begun
            if begun[part].cancel():
                quietly(part)
    finally:  # of pieces that are left, after Ctrl-C for one, none is begun
        pool.shutdown(cancel_futures=True)
    for other in begun:
        if not other.cancelled():
            other.result()
