"""Attempts of roles: what they are given, how the graph is driven, what becomes of what they claim."""
