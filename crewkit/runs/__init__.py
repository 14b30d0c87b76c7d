"""Runs: prepared, carried on, concluded; branched off and replayed."""
