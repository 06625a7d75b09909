"""A run as one HTML file: what ended it, its console, and all that happened on a timeline that one can zoom.

Not to be mixed up with emu/report.py, which tells in a few lines where a guest is that did not finish.
"""
