"""Schedules: what fires when, and one run for each firing."""
