"""Learning curves with their intervals."""
