"""The runner's side of warm starts: zygotes, and processes that stand by."""
