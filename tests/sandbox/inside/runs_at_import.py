"""Ends, one way or another, while it is imported."""

import os

exec(os.environ["CODE"])
