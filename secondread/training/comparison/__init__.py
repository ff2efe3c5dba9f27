"""The same recipe trained in several ways: what each gives, and what it costs."""
