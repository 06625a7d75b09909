"""The host side: what stands between the host and the guest, and which a replay does not need."""
