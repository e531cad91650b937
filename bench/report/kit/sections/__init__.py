"""The sections that any track may have on its part of a page; those of a track that names none of its own."""

from __future__ import annotations

from bench.api import Section
from bench.report.kit.ranking import Ranking
from bench.report.kit.sections.answers import Answers
from bench.report.kit.sections.matrix import Matrix
from bench.report.kit.sections.targets import Targets

STANDARD: tuple[Section, ...] = (Answers(), Matrix(), Ranking(), Targets())
