"""Each fault that the rules of a game for two can have gets one message, which says what to do about it."""

# code: where, what (with fields to fill in), cure
GAMES: dict[str, tuple[str, str, str]] = {
    "legal-form": (
        "legal",
        "it returned {got}, wanted is {want}",
        "Return one bool for each action of action_space.",
    ),
    "no-legal-move": (
        "legal",
        "after {time} moves the game goes on, and no move is legal",
        "End the game there, or make a pass one of its moves.",
    ),
    "player-number": (
        "player",
        "after {time} moves it returned {got}",
        "Return 0 where the player who began the game moves next, and 1 where the other does.",
    ),
    "game-reward": (
        "step",
        "the reward of move {time} is {got:g}",
        "Give the player who has just moved 1 for a win, -1 for a loss and 0 else: the other's is its negative.",
    ),
    "game-truncated": (
        "step",
        "move {time} was truncated",
        "Let a limit of moves be a rule of the game, which terminates it: a search stops where a game has ended.",
    ),
    "moves-after-end": (
        "step",
        "after the end, a move {what}",
        "Return the state as it is, with reward 0 and terminated True: a search steps past the end.",
    ),
    "symmetry-form": (
        "symmetries",
        "number {number} is no pair of permutations, of {cells} observed entries and of {moves} actions",
        "Give a permutation of the flattened observation and one of the actions; what has no place, as a pass, stays.",
    ),
    "symmetry-broken": (
        "symmetries",
        "number {number} changes the game: {what} of the mirrored game differ after {time} moves",
        "Permute observations and actions alike: obs.ravel()[cells] must be what the mirrored moves lead to.",
    ),
}
