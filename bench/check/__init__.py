"""The contract tests of a plug-in: what ``python -m bench check NAME|PATH`` runs, and the suite over the whole registry.

==============  =========================================================================================================
``attack``      what an attack declares; ``claims``: its claims; ``runs``: what a run must keep, on small untrained networks
``defense``     what a defence may do to data and to weights
``data``        what a data set yields, and how it splits
``metric``      how a metric ranks images
``track``       what the engine, the tables and the pages ask of a track
``section``     a section of a page, as far as it can be told without rows
``outcomes``    tests run one by one, and what came of each
``classes``     what attacks and defences have in common
``networks``    the small networks, and hyperparameters lowered for them
``handed``      whether what an attack is handed holds an image
``traces``      the global state that a plug-in leaves alone
==============  =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from bench import registry
from bench.api import Attack, Defense, Metric, Section, Track
from bench.check.attack import check_attack
from bench.check.data import check_data
from bench.check.defense import check_defense
from bench.check.metric import check_metric
from bench.check.outcomes import Outcome
from bench.check.section import check_section
from bench.check.track import check_track
from bench.errors import BenchError, did_you_mean


def check_plugin(what: str) -> Iterator[tuple[str, list[Outcome]]]:
    """The contract tests of every plug-in that a name or a file stands for: (title, outcomes).

    Raises:
        BenchError: an unknown name, or a file that registers nothing or cannot be imported.
    """
    if what.endswith(".py") or ("/" in what and ":" not in what):
        found = [(entry.kind, entry.name) for entry in registry.load_plugin(what)]
    else:
        head = what.partition(":")[0]
        kinds = registry.WORDS
        found = [(kind, what) for kind in kinds if head in registry.entries(kind)]
        if not found:
            known = [name for kind in kinds for name in registry.entries(kind)]
            raise BenchError(
                f"no plug-in is named '{what}'.{did_you_mean(what, known)}",
                expected="one of " + ", ".join(known) + ", or a path to a Python file",
                got=repr(what),
                hint="python -m bench ls",
            )
    for kind, name in found:
        if kind == "attack":
            yield f"attack {name}", check_attack(cast("type[Attack]", registry.get("attack", name)))
        elif kind == "defense":
            yield f"defence {name}", check_defense(cast("type[Defense]", registry.get("defense", name)))
        elif kind == "metric":
            yield f"metric {name}", check_metric(cast("type[Metric]", registry.get("metric", name)))
        elif kind == "track":
            yield f"track {name}", check_track(cast("type[Track]", registry.get("track", name)))
        elif kind == "section":
            yield f"section {name}", check_section(cast("type[Section]", registry.get("section", name)))
        else:
            yield f"data set {name}", check_data(name)
