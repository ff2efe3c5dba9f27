"""A model served on this machine, Triton included."""
