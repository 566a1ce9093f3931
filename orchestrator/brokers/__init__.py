"""Adapters of the `Broker` port: how workers are woken."""
