"""The front of every server: it accepts connections, bounds them, drops slow clients and runs an ASGI application."""
