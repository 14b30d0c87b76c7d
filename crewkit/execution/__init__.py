"""Tasks done: each given to whoever does it, its outcome recorded."""
