"""Virtio devices and their transport."""
