"""Kubeflow components, one folder each: a body imports one library function and calls it."""
