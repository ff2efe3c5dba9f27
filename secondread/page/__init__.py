"""The look that all pages have, each of them one HTML file."""
