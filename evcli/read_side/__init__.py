"""The read side: answers from snapshots, views kept current, subscriptions. It knows nothing of the write side."""
