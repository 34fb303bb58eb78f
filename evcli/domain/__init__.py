"""The pure rules: events, names, expected versions, instants, reducers. No I/O, no clock, no randomness."""
