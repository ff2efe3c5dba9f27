"""The container image that every component runs in: the library with everything a pipeline needs."""

from secondread import __version__

# the local runner warns about an image whose name lacks the word "python"
BASE_IMAGE = f"ghcr.io/secondread/pipeline-python:{__version__}"
