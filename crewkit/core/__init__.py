"""The words that every other room uses: messages, events, limits, verdicts, time."""
