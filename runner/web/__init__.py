"""The HTTP API: turns requests into calls of `runner.engine.api.operations` and their answers into JSON."""
