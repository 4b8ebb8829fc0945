"""The commands of `python -m ml`."""
