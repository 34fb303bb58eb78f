"""Bytes and files: the store contract, the local store and the one in memory, the snapshot cache."""
