"""Fixtures are added with the service."""
