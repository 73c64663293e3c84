"""A board shows the stones where they are, and the policy in its proportions, in pixels and in SVG."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from swingup.envs import make
from swingup.envs.games import Seated
from swingup.errors import ConfigError
from swingup.play import boards
from swingup.play.scenes import ACCENT, INK
from swingup.play.stage import open_stage

GAMES = {
    "connect_four": (6, 7),
    "tic_tac_toe": (3, 3),
    "pgx:othello": (8, 8),
    "hex": (11, 11),
    "pgx:go_9x9": (9, 9),
}


def circles(drawing: boards.Drawing, colour: str) -> list[Any]:
    return [s for s in drawing.shapes if s.kind == "circle" and s.fill == colour]


def test_stones_fall_to_the_lowest_free_row() -> None:
    cells = boards.board("pgx:connect_four", [3, 3, 3, 0])
    assert cells.shape == (6, 7)
    assert [(r, c, cells[r, c]) for r, c in np.argwhere(cells)] == [
        (3, 3, 1),
        (4, 3, 2),
        (5, 0, 2),
        (5, 3, 1),
    ]


@pytest.mark.parametrize("game", list(GAMES))
def test_svg_and_pixels_have_one_size_and_no_stone_leaves_the_picture(game: str) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 3, GAMES[game])
    policy = np.full(cells.shape[1] if game == "connect_four" else cells.size + 1, 0.05)
    drawing = boards.draw(cells, game, "a < b & c", (0, 0), policy)
    root = ElementTree.fromstring(boards.svg(drawing))
    image = boards.picture(drawing)
    assert (int(root.attrib["width"]), int(root.attrib["height"])) == image.size
    assert any(node.text == "a < b & c" for node in root)
    for shape in drawing.shapes:
        for x, y in shape.points:
            assert shape.size * (shape.kind == "circle") <= x <= drawing.width
            assert 0 <= y <= drawing.height
    empty = boards.draw(np.zeros_like(cells), game)
    assert len(boards.draw(cells, game).shapes) >= len(empty.shapes)


def test_a_picture_has_the_stones_colours_where_they_lie() -> None:
    cells = boards.board("connect_four", [0, 6])
    image = boards.picture(boards.draw(cells, "connect_four"))
    cell = boards.BOARD / 7 / 2
    left, low = boards.FRAME / 2 + cell / 2, boards.ABOVE / 2 + 5.5 * cell
    assert image.getpixel((round(left), round(low))) == Image.new("RGB", (1, 1), ACCENT).getpixel((0, 0))
    assert image.getpixel((round(left + 6 * cell), round(low))) == Image.new("RGB", (1, 1), INK).getpixel(
        (0, 0)
    )
    assert image.getpixel((round(left + 3 * cell), round(low))) == (255, 255, 255)


def test_bars_are_as_high_as_chances() -> None:
    policy = [0.1, 0.2, 0.0, 0.4, 0.1, 0.1, 0.1]
    drawing = boards.draw(np.zeros((6, 7)), "connect_four", policy=policy)
    bars = [s for s in drawing.shapes if s.kind == "polygon" and s.fill == ACCENT]
    heights = np.array([s.points[2][1] - s.points[0][1] for s in bars]) - 2  # each is two pixels at least
    np.testing.assert_allclose(heights / heights.sum(), policy)
    middles = [(s.points[0][0] + s.points[1][0]) / 2 for s in bars]
    np.testing.assert_allclose(middles, boards.FRAME + (np.arange(7) + 0.5) * boards.BOARD / 7)
    labels = [s.text for s in drawing.shapes if s.kind == "text"]
    assert labels == ["10", "20", "0", "40", "10", "10", "10"]


def test_chances_are_written_into_empty_cells_only() -> None:
    cells = np.zeros((3, 3), int)
    cells[0, 0] = 1
    drawing = boards.draw(cells, "tic_tac_toe", policy=np.arange(9) / 36 + 0.001)
    discs = circles(drawing, "#f2b79f")
    assert len(discs) == 8
    areas = np.array([s.size**2 for s in discs])
    np.testing.assert_allclose(areas / areas[0], (np.arange(1, 9) / 36 + 0.001) / (1 / 36 + 0.001))


def test_the_stone_set_last_has_a_dot() -> None:
    cells = boards.board("connect_four", [3, 2])
    plain, dotted = boards.draw(cells, "connect_four"), boards.draw(cells, "connect_four", last=(5, 2))
    (dot,) = set(dotted.shapes) - set(plain.shapes)
    assert dot.kind == "circle"
    assert dot.points[0] == circles(plain, INK)[0].points[0]


def test_a_game_is_an_animation(tmp_path: Path) -> None:
    boards.write_game(tmp_path / "game.gif", "connect_four", [3, 3, 2], {3: "the end"})
    with Image.open(tmp_path / "game.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 4  # the empty board and three moves


def test_bad_boards_are_refused() -> None:
    with pytest.raises(ConfigError, match="0, 1 and 2"):
        boards.draw([[0, 3]], "go_9x9")
    with pytest.raises(ConfigError, match=r"unknown game 'hex'.*\(known: connect_four, tic_tac_toe\)"):
        boards.board("hex", [0])


def test_a_watched_game_is_drawn_as_its_board() -> None:
    """The picture of a position is that of the moves which led to it, whoever began and whoever is to move."""
    env: Any = make("pgx:connect_four?opponent=random", 1)
    stage = open_stage("pgx:connect_four?opponent=random", env.name, 1, lambda space, obs: obs)
    game = env.single.game
    state, _ = game.reset(jax.random.key(0))
    moves = [3, 3, 2, 4, 4, 0, 2]
    for i, move in enumerate(moves):
        state, t = game.step(state, move, jax.random.key(0))
        drawn = stage.paint(Seated(state, jnp.int32(i % 2)), np.asarray(t.obs), "a caption")
        expected = boards.picture(
            boards.draw(boards.board("connect_four", moves[: i + 1]), "connect_four", "a caption")
        )
        assert drawn.tobytes() == expected.tobytes()
