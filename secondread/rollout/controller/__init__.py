"""Observe, decide, act: what carries rollouts on, checks a candidate, and tells others of it."""
