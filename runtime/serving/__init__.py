"""Serving the page: its files, access control, the socket and the certificate."""
