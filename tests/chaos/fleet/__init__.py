"""A fleet of real workers on real services, and everything that may happen to it (see `test_fleet.py`)."""
