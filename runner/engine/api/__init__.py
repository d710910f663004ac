"""What can be asked of a node, from outside and by a running task."""
