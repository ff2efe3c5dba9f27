"""Dataset versions: pixels on disk, groups, splits, growth from a parent, and what differs between two."""
