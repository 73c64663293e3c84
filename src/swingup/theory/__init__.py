"""Finite MDPs are solved exactly here: Bellman operators, solutions, and fitted iteration."""
