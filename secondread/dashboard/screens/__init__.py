"""The dashboard's pages, one file each: what they say, and in which order."""
