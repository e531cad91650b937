"""One text for equal values: what keys are hashed from, and how rows keep parameters."""

from __future__ import annotations

import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values have one text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
