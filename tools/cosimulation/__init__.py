"""Compares minstret with Spike, instruction by instruction."""
