"""The commands and groups of commands, one a file."""
