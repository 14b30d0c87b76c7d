"""Crews: tasks and agents made into a graph, run, resumed, loaded from files."""
