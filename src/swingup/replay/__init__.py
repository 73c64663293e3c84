"""This room remembers: the ring of transitions, its frames, priorities, goals of hindsight, and what fits."""
