"""A grid that is tormented and must come out whole: `python -m tests.chaos` (or `make chaos`).

A real grid runs through the real command line while workers and the main process are killed, the disk fills, files are cut off and the
clock jumps, with plug-in attacks beside the real ones that hang, crash, flood and eat memory. Afterwards every cell must have exactly one
row, every failure its true reason, and every score must be that of an undisturbed run. `--seed` repeats the order of the faults, not their
moments, which are the machine's.

what runs       ``trial`` the grid and what must come of each attack; ``plugins`` the attacks that misbehave; ``driver`` the command line
what goes wrong ``faults`` each kind; ``disk`` a disk that fills; ``clock`` a clock that jumps; ``storm`` one after the other, at random
what is judged  ``verdict`` rows lost, rows doubled, reasons, scores; ``rows`` the store as it lies on disk
"""
