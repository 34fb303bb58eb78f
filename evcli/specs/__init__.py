"""Given, when, then: specs of reducers and deciders, read from files, run for real, and cut out of real history."""
