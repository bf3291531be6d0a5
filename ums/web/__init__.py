"""The HTTP API, on Flask. It turns requests into calls of use cases and their answers into JSON; it decides nothing."""
