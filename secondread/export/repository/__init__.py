"""What a model server loads: the folder, its configuration, its signature, and where it lies."""
