"""Control groups of both versions: limits and counts of the kernel, one group for each attempt."""
