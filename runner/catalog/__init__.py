"""The tasks of a node: snapshots of the tasks folder, what its modules declare, and what of it is in use."""

from runner.catalog.catalog import Catalog, TaskEntry
from runner.catalog.discovery import ModuleProblem

__all__ = ["Catalog", "ModuleProblem", "TaskEntry"]
