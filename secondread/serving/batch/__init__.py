"""Readings of very many images, without a server."""
