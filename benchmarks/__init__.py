"""Atlas beside its peers: ``python -m benchmarks NAME``."""
