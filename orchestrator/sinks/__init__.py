"""Who is told what happens: adapters of the `Sink` port, and the cursors that they are told by."""
