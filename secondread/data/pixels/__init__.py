"""The one pixel path: encoded bytes to the pixels of a model, and what is kept of a file."""
