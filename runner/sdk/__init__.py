"""What users import, by way of `runner`: the decorator, scheduling, handles, the context, the clients."""
