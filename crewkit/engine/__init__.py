"""Runs carried on by workers: getting a job to a live one is an engine's, what is done about it is ours."""
