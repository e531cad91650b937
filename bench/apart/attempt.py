"""One call of an attack, in whichever process: many runs at once, each answer checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.api import Answering, Attack
from bench.errors import AttackFault
from bench.faults import PluginExitError
from bench.torch_state import restored


def attempt(
    cls: type[Attack],
    track: Answering,
    attacks: Sequence[Attack],
    releases: Sequence[Any],
    prints: Sequence[str],
    generators: Sequence[torch.Generator],
) -> list[Any | AttackFault]:
    """The answer of each run, or what is wrong with it.

    Args:
        releases: one a run, narrowed, in copies of its own.
        prints: their fingerprints.

    Raises:
        Exception: what the attack raises, for all its runs.
    """
    try:
        with restored():
            raw = cls.reconstruct_batch(attacks, releases, generators)
    except SystemExit as error:
        raise PluginExitError(f"the attack called sys.exit({error.code})") from error
    if not isinstance(raw, list | tuple) or len(raw) != len(attacks):
        came = f"{len(raw)} answers" if isinstance(raw, list | tuple) else type(raw).__name__
        raise AttackFault(
            "reconstruct_batch returned the wrong number of answers", expected=f"a list of {len(attacks)}, one a run", got=came
        )
    return [_checked(track, *run) for run in zip(raw, releases, prints, strict=True)]


def _checked(track: Answering, answer: object, release: Any, before: str) -> Any | AttackFault:
    try:
        if track.fingerprint(release) != before:
            raise AttackFault(
                "the attack changed the release that it was given",
                expected="a release that is only read",
                hint="clone before writing",
            )
        return track.check_answer(answer, release)
    except AttackFault as fault:
        return fault
