"""Networks are made of layers, of bodies that read images and windows, of policies and value functions."""
