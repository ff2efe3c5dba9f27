"""Canary analysis: from a policy and what was seen of both versions to what is done; no clock, no network."""
