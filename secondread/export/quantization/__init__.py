"""Which graph is served: all that may be, compared with fp32, and a rule."""
