"""The HTTP API: turns requests into calls of `runner.engine.operations` and their answers into JSON."""
