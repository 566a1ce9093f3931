"""The git half of an agent's workspace: a run's repository on this worker's disk, and working trees whose snapshots go
to the artifact store."""
