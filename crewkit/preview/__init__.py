"""What can be said of a crew before it runs: its drawing, what it can cost at most, what to warn of."""
