"""This node among those that share the store: who it is, what it has room for, and what becomes of dead ones."""
