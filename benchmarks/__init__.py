"""`make bench`: how fast we are, as ratios to a named peer, measured on the same machine in the same run."""
