"""HTTP itself: connections, who may come in, how requests are read."""
