"""Serving the page: its files, who may ask for them, the socket and the certificate."""
