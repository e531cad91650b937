"""Attacks on a released network, and the controls beside them. One idea a file; README.md says how to add one."""
