"""What we measure against: what a user would otherwise write."""
