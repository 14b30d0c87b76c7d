"""Crews in files: found by name, read from Python and from YAML."""
