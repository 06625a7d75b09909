"""How the first difference between two runs is found: strides side by side, then instruction by instruction."""
