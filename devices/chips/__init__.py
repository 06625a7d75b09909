"""The chips of the board."""
