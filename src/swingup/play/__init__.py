"""Episodes of trained agents as pictures: who plays, on which stage, drawn by what."""
