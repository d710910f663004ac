"""The store of many nodes: one PostgreSQL; see `runner/store/README.md`."""
