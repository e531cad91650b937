"""``run --pdb``: Python's debugger where an attack raised an exception, before its cell becomes a failed row."""

from __future__ import annotations

import contextlib
import pdb
import sys
import traceback

from bench.faults import blame


def post_mortem(error: Exception) -> None:
    """Lets the user look around in the frame that ``blame`` names: the last one outside of installed libraries. ``down`` leads into these.

    ``q``, ``c`` or the end of the input goes on with the run.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [i for i, frame in enumerate(frames) if "site-packages" not in frame.filename]
    print(f"\n{blame(error)}\nq goes on with the next cell; h lists the commands", file=sys.stderr, flush=True)
    above = len(frames) - 1 - own[-1] if own else 0
    with contextlib.redirect_stdout(sys.__stdout__ or sys.stderr):  # line editing works on the true one alone
        debugger = pdb.Pdb()
        debugger.reset()
        debugger.cmdqueue += [f"up {above}"] if above else []
        debugger.interaction(None, error.__traceback__)
