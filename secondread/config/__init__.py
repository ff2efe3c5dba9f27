"""Typed settings, a frozen dataclass a stage, passed explicitly. Every field states its unit and why that default.

Bad values are refused when the object is made.
"""
