"""Finite MDPs, exactly: Bellman operators, solutions, and fitted iteration."""
