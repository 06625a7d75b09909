"""The host side of keyboard and tablet: what is typed and clicked, when, and in which order. Never guest state."""
