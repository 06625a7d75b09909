"""The trace: one file with everything a replay needs, and the snapshots in it."""
