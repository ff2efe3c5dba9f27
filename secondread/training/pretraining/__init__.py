"""Learning from images without labels, before those with labels."""
