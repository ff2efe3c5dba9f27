"""The inference API: what is asked and answered, and how it is written on the wire."""
