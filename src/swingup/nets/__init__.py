"""Networks: layers, the bodies that read images and windows, policies, value functions."""
