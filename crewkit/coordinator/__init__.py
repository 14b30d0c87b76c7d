"""The coordinator: runs a graph of nodes over a bus of messages. It does not know what an agent is."""
