"""What runs confined, and what confines it: the launcher and all that it forks."""
