"""The file of a store: opened by one runner alone, or only looked at."""
