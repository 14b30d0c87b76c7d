"""Tools: what an agent can do, as functions with a closed schema and declared effects."""
