"""A line has more points than a figure has pixels. What is left out must not be what one looks for."""

import numpy as np


def thinned(values: np.ndarray, most: int) -> np.ndarray:
    """Return which of the values [P] to draw: at most `most` of them, among them every visible extreme.

    The first and the last are kept. What is between them is cut into equal pieces, and of each piece the lowest and
    the highest value are kept: so a spike of one point survives, which every k-th point would miss.

    >>> thinned(np.array([0.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0, -5.0, 1.0, 2.0]), 6).tolist()
    [0, 1, 3, 5, 7, 9]
    """
    points = len(values)
    if points <= most:
        return np.arange(points)
    keep = [0, points - 1]
    for piece in np.array_split(np.arange(1, points - 1), max(1, (most - 2) // 2)):
        low, high = piece[np.argmin(values[piece])], piece[np.argmax(values[piece])]
        keep += [low, high] if low != high else [piece[0], piece[-1]]
    return np.unique(keep)
