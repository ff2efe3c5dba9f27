"""Graphs out of graphs: fused attention, 16 bits, 8 bits."""
