"""One executor for each kind of TODO that a worker carries out."""
