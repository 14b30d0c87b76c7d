"""What is served over HTTP: on loopback unless asked otherwise, and never to strangers."""
