"""minstret beside Spike, instruction by instruction."""
