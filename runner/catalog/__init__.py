"""The tasks of a node: snapshots of the tasks folder, what its modules declare, and what of it is in use."""

from runner.catalog.catalog import START_PATIENCE_S, Catalog
from runner.catalog.discovery import ModuleProblem
from runner.catalog.entries import TaskEntry

__all__ = ["START_PATIENCE_S", "Catalog", "ModuleProblem", "TaskEntry"]
