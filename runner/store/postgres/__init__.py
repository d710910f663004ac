"""The store of many nodes: one PostgreSQL; see `runner/store/postgres/README.md`."""
