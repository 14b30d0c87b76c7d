"""Agents: the definition, the prompt, the loop of model and tool calls, the final answer."""
