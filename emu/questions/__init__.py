"""Questions that a trace answers: who wrote this, where do two runs part, what ran, what happened when.

Each is a walk in a replay. The boards come from whoever asks; the commands are in emu/cli.
"""
