"""The loop around every algorithm: on the device, on the host, for all seeds at once."""
