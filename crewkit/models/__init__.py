"""Models. Routing, fallback, retry, metering, recording and scripting are models that wrap models."""
