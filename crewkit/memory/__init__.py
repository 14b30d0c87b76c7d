"""Memory: things worth finding again, behind `add` and `recall`."""
