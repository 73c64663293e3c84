"""Learning curves are drawn with their intervals."""
