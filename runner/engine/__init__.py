"""One node at work."""
