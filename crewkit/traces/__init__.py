"""Runs as OpenTelemetry traces: a projection of the journal, for tools that understand those."""
