"""What happened in a run, in the forms of other tools: one module for each.

A form is a class with ``KINDS``, what it needs to be told of; it is made with the facts of the run and a function that
takes bytes, told of each happening by ``add`` and of the end by ``finish``. It keeps no more than a few of them.
"""
