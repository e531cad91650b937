"""Attacks run apart: in a process of their own that holds no data, no split and no store."""
