"""Whether the same events give the same states, and the same command the same events: tried in other surroundings."""
