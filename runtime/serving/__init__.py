"""Serving pages and their files: what exists, who may ask, on which socket, with which certificate."""
