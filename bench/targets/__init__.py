"""Targets: how networks are trained to be attacked, many at once, measured, and kept. Which networks it attacks is a track's to say."""
