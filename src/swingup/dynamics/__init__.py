"""Dynamics are learnt here: ensembles of networks that say what an action changes, and models made of them."""
