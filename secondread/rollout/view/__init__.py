"""A rollout for people: as it runs, in a terminal, and afterwards, as a page."""
