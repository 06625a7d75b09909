"""Whether checks of the loop that take time are made. Tests switch them on; cheap ones are always made."""

is_on = False
