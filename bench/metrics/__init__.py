"""Scores of one image against another, or of many against many: pure functions.

A metric is a registered class (``bench.api.Metric``), one file each; its columns are made by ``bench.schema``, its values by ``measure``.
"""
