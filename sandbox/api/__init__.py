"""The stand-alone use: run a file or call a function confined, and wait for how it ends."""
