"""The loop around every algorithm runs on the device or on the host, for all seeds at once."""
