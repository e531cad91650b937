"""The sections of the page of the track ``reconstruction``, one file each; the track ``informed`` has most of them too."""

from __future__ import annotations

from bench.api import Section
from bench.report.kit.sections import Answers, Matrix, Targets
from bench.tracks.reconstruction.page.ceiling import Ceiling
from bench.tracks.reconstruction.page.crosscheck import CrossCheck
from bench.tracks.reconstruction.page.details import Details
from bench.tracks.reconstruction.page.findable import Findable
from bench.tracks.reconstruction.page.gallery import Gallery
from bench.tracks.reconstruction.page.margin import Margin
from bench.tracks.reconstruction.page.planted import Planted
from bench.tracks.reconstruction.page.questions import Questions
from bench.tracks.reconstruction.page.ranking import OfImages
from bench.tracks.reconstruction.page.ranks import Ranks
from bench.tracks.reconstruction.page.strips import Strips
from bench.tracks.reconstruction.page.sweeps import Sweeps

SECTIONS: tuple[Section, ...] = (
    Answers(), Matrix(), Ceiling(), OfImages(), Ranks(), Questions(), CrossCheck(), Findable(), Planted(), Sweeps(), Margin(), Targets(),
    Details(), Gallery(), Strips(),
)  # fmt: skip
