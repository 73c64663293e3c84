"""Planners are leaf functions that search in a model of what happens next."""
