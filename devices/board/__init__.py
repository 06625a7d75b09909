"""The board: which parts it has, where they are, and what it says of itself in the device tree."""
