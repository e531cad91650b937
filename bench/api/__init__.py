"""The nouns of the project, and nothing else: what each is, what it holds, who may see it.

Importing this package does not import torch, so that listing and help stay fast. One file a noun; import them from here.
"""

from bench.api.architecture import Architecture
from bench.api.attack import OWN_LOSS, Attack, Objective
from bench.api.candidates import DIVERGED, Candidates
from bench.api.claim import Claim
from bench.api.data import DataSource, ImageSet
from bench.api.defense import Defense, HeldOut, Planted, Private, Rehearsal, Training
from bench.api.headline import EXCESS_RECALL, Headline, Share
from bench.api.metric import Metric
from bench.api.oracle import Oracle
from bench.api.part import Ask, Part
from bench.api.plain import Plain, plain_values
from bench.api.release import Release, Tier
from bench.api.section import Section
from bench.api.setting import KINKED, Activation, Loss, Setting
from bench.api.target import Secret, Target
from bench.api.track import Answering, Row, Track, TrackWork

__all__ = [
    "DIVERGED", "EXCESS_RECALL", "KINKED", "OWN_LOSS", "Activation", "Answering", "Architecture", "Ask", "Attack", "Candidates",
    "Claim", "DataSource", "Defense", "Headline", "HeldOut", "ImageSet", "Loss", "Metric", "Objective", "Oracle", "Part", "Plain",
    "Planted", "Private", "Rehearsal", "Release", "Row", "Secret", "Section", "Setting", "Share", "Target", "Tier", "Track", "TrackWork",
    "Training", "plain_values",
]  # fmt: skip
