"""What keeps going: plan documents, worker, sweeper, service; and the faces people use."""
