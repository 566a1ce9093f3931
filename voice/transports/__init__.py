"""How clients come: each transport makes the `Ends` of a pipeline, and knows when its client has gone."""
