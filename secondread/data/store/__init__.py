"""Where dataset versions are kept for others: a folder, S3 or Swift."""
