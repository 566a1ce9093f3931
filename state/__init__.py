"""What is remembered: records and vocabulary, tables, the store, liveness, events. Imports none of the other rooms."""
