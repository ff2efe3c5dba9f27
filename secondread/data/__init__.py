"""From any source of images to a dataset version."""
