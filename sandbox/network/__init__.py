"""Granted hosts: listeners in the network of an attempt, and the relay to which they belong."""
