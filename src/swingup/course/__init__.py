"""This room holds what the course needs beside the library: the map of algorithms, and the recap of deep learning."""
