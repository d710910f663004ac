"""The embedded store; `store` says how it is made."""
