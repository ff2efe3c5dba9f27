"""The data dashboard: pages that show what is in dataset versions, before anyone trains on them."""
