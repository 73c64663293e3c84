"""What is remembered: the ring of transitions, its frames, priorities, goals of hindsight, and what fits."""
