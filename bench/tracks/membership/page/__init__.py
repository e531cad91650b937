"""The sections of the page of the track ``membership``."""

from __future__ import annotations

from bench.api import Section
from bench.report.kit.sections import Answers, Matrix, Targets
from bench.tracks.membership.page.along import Along
from bench.tracks.membership.page.ranking import OfScores
from bench.tracks.membership.page.told import Told

SECTIONS: tuple[Section, ...] = (Told(), Answers(), Along(), Matrix(), OfScores(), Targets())
