"""The pipeline's steps, and how they are compiled, run and submitted."""
