"""Scores of one image against another, or of many against many: pure functions, each with its unit, range and direction."""
