"""Letting a new version in: what was seen, what is decided of it, and how traffic is given to it."""
