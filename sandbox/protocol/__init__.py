"""What the processes say to each other, how it is written, and how it is read."""
