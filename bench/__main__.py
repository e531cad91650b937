"""``python -m bench``."""

import os
import sys

# Small tensors leave OpenMP's threads idle most of the time; spinning, they take the cores from whatever else runs. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if __name__ == "__main__":
    try:
        from bench.cli import main

        code = main()
    except KeyboardInterrupt:  # while this was still being imported
        code = 130
    sys.exit(code)
