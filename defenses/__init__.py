"""Defences: what an owner does to training data or weights so that less is given away. One idea a file."""
