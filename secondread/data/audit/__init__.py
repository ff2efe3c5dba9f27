"""What a set of images gives away and hides: counts, leaks, and shortcuts that a model could learn instead."""
