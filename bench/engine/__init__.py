"""The engine: plans the cells of a grid (``plan``), runs a batch of them (``cell``), and loops over batches losing nothing (``local``)."""

from bench import posix

posix.check()  # also for whoever imports it without the command line
