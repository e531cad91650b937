"""The sections of the page of the track ``stealing``."""

from __future__ import annotations

from bench.api import Section
from bench.tracks.stealing.page.owners import Owners
from bench.tracks.stealing.page.probes import Mechanism
from bench.tracks.stealing.page.ranking import ByAccess, Compared, OfCopies, Watermarks

SECTIONS: tuple[Section, ...] = (Compared(), OfCopies(), ByAccess(), Watermarks(), Owners(), Mechanism())
