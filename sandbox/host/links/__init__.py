"""Sockets to the processes that work for the caller, and to those that are confined."""
