"""Telling people that something waits for them: terminal, webhook, Slack; and what they answer from there."""
