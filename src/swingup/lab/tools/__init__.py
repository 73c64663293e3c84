"""What several demonstrations share."""
