"""The sections of the page of the track ``informed``: those of answers that are images, and what is compared image by image."""

from __future__ import annotations

from bench.api import Section
from bench.report.kit.sections import Answers, Matrix, Targets
from bench.tracks.informed.page.exact import Exact
from bench.tracks.informed.page.paired import Paired
from bench.tracks.reconstruction.page.details import Details
from bench.tracks.reconstruction.page.gallery import Gallery
from bench.tracks.reconstruction.page.ranking import OfImages
from bench.tracks.reconstruction.page.strips import Strips
from bench.tracks.reconstruction.page.sweeps import Sweeps

SECTIONS: tuple[Section, ...] = (Answers(), Matrix(), OfImages(), Exact(), Paired(), Sweeps(), Targets(), Details(), Gallery(), Strips())
