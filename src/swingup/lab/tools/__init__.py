"""Several demonstrations share these tools."""
