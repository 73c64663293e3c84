"""Hyperparameters are tuned in blocks: whole settings with several seeds each, side by side in one compiled program.

    space      which floats are searched, and where
    journal    Optuna's record of the study, mended after a crash
    blocks     one block is trained, with pruning at a few points
    study      the loop: ask for settings, train, tell what they are worth
    final      the best settings and the preset on fresh seeds

Optuna chooses the settings (`pip install 'swingup[tune]'`).
"""
