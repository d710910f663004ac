"""`isolane.toml`, checked to the last key, as frozen `Settings`."""

from runner.config.loading import load, load_settings, read_settings
from runner.config.settings import Settings

__all__ = ["Settings", "load", "load_settings", "read_settings"]
