"""What the caller keeps warm, as it sees it: zygotes, and processes that stand by."""
