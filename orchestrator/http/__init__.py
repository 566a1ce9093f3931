"""`atlas serve`: the API, live events, the dashboard. It holds no state: several servers on one database are equal."""
