"""A module beside another one."""
