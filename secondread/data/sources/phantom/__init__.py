"""Synthetic radiographs and OCT scans with a known best reachable accuracy."""
