"""Sections that belong to no track: registered classes (``bench.api.Section``), one file each. Tracks have theirs in ``bench/tracks``."""
