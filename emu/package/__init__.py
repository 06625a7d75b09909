"""A deterministic RISC-V board, in three rooms: ``emu``, ``devices`` and ``firmware``."""
