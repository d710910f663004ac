"""Facilities of Linux, one a module, each as a few functions."""
