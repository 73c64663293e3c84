"""Episodes of trained agents become pictures: who plays, on which stage, drawn by what."""
