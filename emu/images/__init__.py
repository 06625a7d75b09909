"""Files to boot from: ELF, raw, hex, uImage, compressed; what is in them, and where it goes."""
