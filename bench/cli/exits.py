"""Exit codes, all of them:

===  ====================================================================================================
0    all fine
1    wrong usage, or surroundings that do not allow it (a missing data set, a full disk): one message, on stderr
2    some cells failed, or are left to run because a budget was spent; a failed ``check``; cells that ``score`` could not score;
     a ``verify`` in which an attack is flagged, failed or open, or of a submission that is flagged, failed or refused (open is 0 there);
     a ``submit`` that wrote nothing, or what will be flagged; an ``audit`` in which an attack failed, or that is inconclusive; with
     ``--fail-above`` also one that found more (without it what is found makes no difference)
3    a fault in this program: one line, and the traceback with ``--debug`` or ``RECONBENCH_DEBUG=1``
130  interrupted; after ``run`` and ``score`` finished cells are kept, and the same command resumes
===  ====================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.engine.run import Summary

OK, USAGE, SOME_FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 130


def of_run(summary: Summary) -> int:
    """What ``run`` exits with."""
    if summary.interrupted:
        return INTERRUPTED
    return SOME_FAILED if summary.failed or summary.left else OK


def interrupt_on_sigterm() -> None:
    """A polite kill is a Ctrl-C: what is finished is kept."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
