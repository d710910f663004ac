"""What the caller's process does: launches, what it holds of each attempt, and how that ends."""
