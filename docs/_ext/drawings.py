"""The diagrams of the course are drawn here, as small SVGs inside the pages.

    ```{drawing} loop
    A caption, in Markdown.
    ```

Colours are the theme's (`_static/swingup.css`), so a drawing reads in light and in dark. Where a drawing shows numbers,
it computes them, or takes them from a stored result.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from swingup.returns import project_categorical
from swingup.statistics import mean_ci

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
ATOMS, MASS, REWARD, GAMMA = (
    (0.0, 1.0, 2.0, 3.0, 4.0),
    (0.1, 0.2, 0.4, 0.3, 0.0),
    1.0,
    0.9,
)  # the page of C51 has them
CLIP = 0.2
Point = tuple[float, float]


def rich(text: str) -> str:
    """Letters behind `_` and `^` lower and higher, as SVG.

    >>> rich("s_t, s_{t+1}")
    's<tspan class="low" dy="4">t</tspan><tspan dy="-4">, s</tspan><tspan class="low" dy="4">t+1</tspan>'
    """
    parts = re.split(r"([_^])(?:\{([^}]+)\}|(.))", text)
    out, back = shifted(parts[0], 0), 0
    for mark, long, one, rest in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        dy = 4 if mark == "_" else -5
        out += f'<tspan class="low" dy="{dy - back}">{escape(long or one)}</tspan>'
        back = 0
        if rest:
            out += shifted(rest, -dy)
        else:
            back = dy
    return out


def shifted(text: str, dy: int) -> str:
    """Return escaped text, moved down."""
    return f'<tspan dy="{dy}">{escape(text)}</tspan>' if dy and text else escape(text)


class Sheet:
    """A drawing in the making: each method adds one thing. Places are in pixels, from the upper left corner."""

    def __init__(self, width: float, height: float, about: str) -> None:
        """Begin an empty drawing. `about` says in words what it shows, for those who do not see it."""
        self.size, self.about, self.parts = (width, height), about, []

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> None:
        self.parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{rich(text)}</text>'
        )

    def box(self, x: float, y: float, w: float, h: float, text: str = "", kind: str = "box") -> None:
        """Add a box with lines of text in its middle."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{min(6, h / 5):g}"/>'
        )
        lines = text.split("\n") if text else []
        for i, line in enumerate(lines):
            self.text(
                x + w / 2,
                y + h / 2 + 5 + 17 * (i - (len(lines) - 1) / 2),
                line,
                "strong" if i == 0 else "small",
            )

    def circle(self, x: float, y: float, r: float, kind: str = "box") -> None:
        self.parts.append(f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="{r:g}"/>')

    def line(self, points: Iterable[Point], kind: str = "line") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def arrow(self, *points: Point, kind: str = "line") -> None:
        """Add a line with a head at its last point."""
        self.line(points, kind)
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        sides = [(x1 - 9 * math.cos(angle + s), y1 - 9 * math.sin(angle + s)) for s in (0.4, -0.4)]
        tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x1, y1), *sides])
        self.parts.append(f'<polygon class="head {kind}" points="{tip}"/>')

    def svg(self) -> str:
        w, h = self.size
        return (
            f'<svg class="drawing" viewBox="0 0 {w:g} {h:g}" style="--own: {w:g}px; max-width: {w:g}px" role="img" '
            f'xmlns="http://www.w3.org/2000/svg" aria-label="{escape(self.about)}">'
            + "".join(self.parts)
            + "</svg>"
        )


def loop() -> Sheet:
    s = Sheet(
        620,
        190,
        "The agent sends an action to the environment, which answers with a reward and an observation.",
    )
    s.box(40, 60, 150, 70, "agent\nπ_θ(a | s)", "box accent")
    s.box(430, 60, 150, 70, "environment\nP(s' | s, a), R")
    s.arrow((115, 60), (115, 25), (505, 25), (505, 60), kind="line accent")
    s.text(310, 18, "action a_t")
    s.arrow((505, 130), (505, 165), (115, 165), (115, 130))
    s.text(310, 182, "reward r_t, next observation s_{t+1}, has the episode ended?")
    return s


def three_parts() -> Sheet:
    s = Sheet(640, 190, "Run, evaluate and improve follow each other in a circle.")
    for x, text, kind in (
        (10, "run\nact in the environment", "box"),
        (230, "evaluate\nestimate V, A or Q", "box"),
        (450, "improve\nchange what picks actions", "box accent"),
    ):
        s.box(x, 50, 180, 66, text, kind)
    s.arrow((190, 83), (228, 83))
    s.text(209, 40, "data", "small")
    s.arrow((410, 83), (448, 83))
    s.text(429, 40, "values", "small")
    s.arrow((540, 116), (540, 160), (100, 160), (100, 118))
    s.text(320, 178, "a better policy", "small")
    return s


def bodies() -> Sheet:
    s = Sheet(660, 235, "Four bodies of networks: layers, a convolution, an LSTM and attention.")
    for x, name in ((80, "MLP"), (245, "convolution"), (410, "LSTM"), (575, "attention")):
        s.text(x, 20, name, "strong")
    layers = [
        [(25, y) for y in (70, 110, 150)],
        [(80, y) for y in (50, 90, 130, 170)],
        [(135, y) for y in (90, 130)],
    ]
    for left, right in pairwise(layers):
        for a in left:
            for b in right:
                s.line([a, b], "thin")
    for layer in layers:
        for x, y in layer:
            s.circle(x, y, 8)
    s.text(80, 215, "all inputs meet", "small")
    for i in range(5):
        for j in range(5):
            s.box(190 + 16 * i, 75 + 16 * j, 16, 16, kind="box accent" if i < 2 and j < 2 else "box")
    for i in range(3):
        for j in range(3):
            s.box(285 + 14 * i, 95 + 14 * j, 14, 14, kind="box accent" if i == j == 0 else "box")
    s.line([(222, 75), (285, 95)], "thin")
    s.line([(222, 107), (285, 109)], "thin")
    s.text(250, 215, "the same weights everywhere", "small")
    for i in range(3):
        s.box(355 + 44 * i, 90, 30, 40, kind="box accent")
        s.arrow((370 + 44 * i, 168), (370 + 44 * i, 132))
        if i < 2:
            s.arrow((385 + 44 * i, 110), (398 + 44 * i, 110), kind="line accent")
        s.text(370 + 44 * i, 184, f"o_{i + 1}")
    s.arrow((458, 90), (458, 55))
    s.text(410, 215, "a memory goes along", "small")
    for i in range(4):
        s.circle(520 + 36 * i, 160, 9)
        s.text(520 + 36 * i, 190, f"o_{i + 1}")
        s.arrow((520 + 36 * i, 151), (628, 78), kind="line accent" if i == 1 else "thin")
    s.circle(628, 68, 9, "box accent")
    s.text(575, 215, "all look at all", "small")
    return s


def q_network() -> Sheet:
    s = Sheet(
        640,
        170,
        "DQN's network: an observation goes in, one value per action comes out; the largest one acts.",
    )
    s.box(10, 50, 110, 60, "observation\nframes or numbers")
    s.box(180, 40, 120, 80, "body\nconvolutions, MLP")
    s.arrow((120, 80), (178, 80))
    for i, (name, bar) in enumerate((("left", 40), ("stay", 95), ("right", 60))):
        y = 35 + 42 * i
        s.arrow((300, 80), (358, y + 10))
        s.text(365, y + 15, f"Q(s, {name})", anchor="start")
        s.box(450, y, bar, 20, kind="box accent" if name == "stay" else "box")
    s.text(595, 92, "argmax")
    s.arrow((548, 87), (565, 87), kind="line accent")
    return s


def axes(s: Sheet, x: float, y: float, w: float, h: float, across: str, up: str) -> None:
    """Add two axes with their names; (x, y) is the corner at the lower left."""
    s.arrow((x, y), (x + w, y))
    s.arrow((x, y), (x, y - h))
    s.text(x + w, y + 30, across, "small", "end")
    s.text(x - 4, y - h - 8, up, "small", "start")


def clip_objective(ratio: np.ndarray, advantage: float) -> np.ndarray:
    """Compute PPO's objective of one sample: min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)."""
    return np.minimum(ratio * advantage, np.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)


def ppo_clip() -> Sheet:
    s = Sheet(640, 250, "PPO's objective against the ratio, for a good action and for a bad one.")
    ratio = np.linspace(0, 2, 81)
    for x0, advantage, title in (
        (40, 1.0, "A > 0: make it likelier"),
        (370, -1.0, "A < 0: make it less likely"),
    ):
        zero, scale = (205, 85) if advantage > 0 else (45, 85)

        def place(
            r: float, objective: float, x0: float = x0, zero: float = zero, scale: float = scale
        ) -> Point:
            return x0 + 115 * r, zero - scale * objective

        s.text(x0 + 115, 18, title, "strong")
        s.arrow((x0, zero), (x0 + 250, zero))
        s.line([(x0, 30), (x0, 225)])
        s.text(x0 + 250, zero + (18 if advantage > 0 else -8), "ρ", "strong")
        for r, name in ((1 - CLIP, "1-ε"), (1.0, "1"), (1 + CLIP, "1+ε")):
            ends = (35, zero) if advantage > 0 else (zero, 220)  # not through the names
            s.line([(x0 + 115 * r, y) for y in ends], "dashed" if r != 1.0 else "thin")
            s.text(x0 + 115 * r + 10 * (r - 1) / CLIP, zero + (16 if advantage > 0 else -6), name, "small")
        s.line([place(r, r * advantage) for r in ratio], "thin")
        s.line(
            [place(r, o) for r, o in zip(ratio, clip_objective(ratio, advantage), strict=True)],
            "line accent thick",
        )
        s.circle(*place(1.0, advantage), 4, "dot")
        r = 1.6 if advantage > 0 else 0.35
        x, y = place(r, float(clip_objective(np.array(r), advantage)))
        s.text(x + (8 if advantage > 0 else 0), y - 12, "no gradient", "small")
    s.text(320, 243, "thick: what PPO maximises; thin: the plain surrogate ρA", "small")
    return s


def projected() -> tuple[np.ndarray, np.ndarray]:
    """Return where the atoms of C51's example go, and the target's probabilities on the grid."""
    moved = REWARD + GAMMA * np.array(ATOMS)
    return moved, np.asarray(project_categorical(moved[None], np.array([MASS]), np.array(ATOMS)))[0]


def c51_projection() -> Sheet:
    s = Sheet(
        640,
        330,
        "C51's projection: atoms are shrunk and shifted, then each gives its mass to its two neighbours.",
    )
    moved, target = projected()

    def at(z: float) -> float:
        return 60 + 110 * z

    def bars(base: float, places: Sequence[float], mass: Sequence[float], kind: str) -> None:
        for z, m in zip(places, mass, strict=True):
            if m > 0:
                s.box(at(z) - 13, base - 120 * m, 26, 120 * m, kind=kind)
                s.text(at(z), base - 120 * m - 5, f"{m:.2f}", "small")
        s.line([(30, base), (530, base)])

    bars(80, ATOMS, MASS, "box")
    for z in ATOMS:
        s.text(at(z), 97, f"{z:g}", "small")
    bars(190, moved[:-1], MASS[:-1], "box")
    for z, m in zip(moved[:-1], ATOMS[:-1], strict=True):
        s.arrow((at(m), 100), (at(z), 128), kind="thin")
        s.text(at(z), 207, f"{z:.1f}", "small")
    bars(310, ATOMS, target.tolist(), "box accent")
    for z in ATOMS:
        s.text(at(z), 326, f"{z:g}", "small")
    for x, y, text in ((545, 60, "p at s'"), (545, 170, "r + γ z"), (545, 290, "target m")):
        s.text(x, y, text, "strong", "start")
    return s


def trust_region() -> Sheet:
    s = Sheet(
        640,
        290,
        "In a trust region that is an ellipse the gradient points elsewhere than the natural gradient.",
    )
    fisher, gradient, delta = np.array([[4.0, 1.5], [1.5, 1.0]]), np.array([1.0, 1.0]), 0.5
    centre, scale = np.array([300.0, 145.0]), 82.0

    def place(d: np.ndarray) -> Point:
        return float(centre[0] + scale * d[0]), float(centre[1] - scale * d[1])

    values, vectors = np.linalg.eigh(fisher)
    angles = np.linspace(0, 2 * np.pi, 121)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    edge = vectors @ (circle * np.sqrt(2 * delta / values)[:, None])
    natural = np.linalg.solve(fisher, gradient)
    step = natural * math.sqrt(2 * delta / (gradient @ natural))
    plain = gradient * math.sqrt(2 * delta / (gradient @ fisher @ gradient))
    for level in np.linspace(-1.4, 1.4, 7):
        ends = [np.array([level / 2 - t, level / 2 + t]) for t in (-1.0, 1.0)]
        s.line([place(e) for e in ends], "dashed")
    s.line([place(d) for d in edge.T], "line thick")
    s.arrow(place(np.zeros(2)), place(plain), kind="line")
    s.arrow(place(np.zeros(2)), place(step), kind="line accent thick")
    s.circle(*place(np.zeros(2)), 4, "dot")
    s.text(place(np.zeros(2))[0] - 14, place(np.zeros(2))[1] + 20, "θ_{old}")
    x, y = place(plain)
    s.text(x + 12, y + 4, "along the gradient g", "small", "start")
    x, y = place(step)
    s.text(x - 52, y + 6, "natural step F^{-1}g", "strong", "end")
    s.text(430, 250, "edge of the region: ½ dᵀF d = δ", "small", "start")
    s.text(430, 268, "dashed: where L is equal", "small", "start")
    return s


def replay() -> Sheet:
    s = Sheet(
        660,
        250,
        "DQN's data: transitions go into a memory, batches come out, a standing copy computes the targets.",
    )
    s.box(10, 30, 130, 60, "environment")
    s.box(240, 30, 170, 60, "replay memory\n(s, a, r, s', terminated)")
    s.arrow((140, 60), (238, 60))
    s.text(189, 50, "transition", "small")
    s.box(510, 30, 140, 60, "batch\ndrawn at random")
    s.arrow((410, 60), (508, 60))
    s.box(510, 150, 140, 70, "loss\n(y - Q_θ(s, a))²")
    s.arrow((580, 90), (580, 148))
    s.box(240, 125, 170, 44, "Q_θ learns", "box accent")
    s.box(240, 195, 170, 44, "Q_{θ⁻} stands still")
    s.arrow((410, 147), (508, 170), kind="line accent")
    s.text(455, 145, "Q_θ(s, a)", "small")
    s.arrow((410, 217), (508, 200))
    s.text(455, 230, "y", "small")
    s.arrow((325, 169), (325, 193))
    s.text(335, 186, "every k gradient steps", "small", "start")
    s.arrow((240, 147), (75, 147), (75, 92), kind="line accent")
    s.text(150, 140, "ε-greedy actions", "small")
    return s


def backups() -> Sheet:
    s = Sheet(680, 260, "Backup diagrams: what each method looks at to improve the value at the top.")

    def state(x: float, y: float) -> None:
        s.circle(x, y, 9)

    def action(x: float, y: float) -> None:
        s.circle(x, y, 5, "dot")

    def fan(
        x: float, y: float, spread: Sequence[float], down: float, draw: Callable[[float, float], None]
    ) -> None:
        for dx in spread:
            s.line([(x, y), (x + dx, y + down)], "line")
            draw(x + dx, y + down)

    def arc(x: float, y: float, w: float) -> None:
        s.line(
            [(x - w, y + 8), (x - w / 2, y + 12), (x, y + 13), (x + w / 2, y + 12), (x + w, y + 8)],
            "line accent",
        )

    names = ("value iteration", "Q-learning", "SARSA", "expected SARSA", "Monte Carlo", "tree search")
    columns = [60 + 112 * i for i in range(6)]
    for x, name in zip(columns, names, strict=True):
        s.text(x, 250, name, "small")
    x = columns[0]
    fan(x, 30, (-26, 26), 55, action)
    state(x, 30)
    arc(x, 36, 13)
    for dx in (-26, 26):
        fan(x + dx, 85, (-13, 13), 50, state)
    x = columns[1]
    fan(x, 30, (0,), 50, state)
    action(x, 30)
    fan(x, 80, (-24, 0, 24), 55, action)
    state(x, 80)
    arc(x, 88, 14)
    x = columns[2]
    fan(x, 30, (0,), 50, state)
    action(x, 30)
    fan(x, 80, (0,), 55, action)
    state(x, 80)
    x = columns[3]
    fan(x, 30, (0,), 50, state)
    action(x, 30)
    fan(x, 80, (-24, 0, 24), 55, action)
    state(x, 80)
    x = columns[4]
    for i in range(3):
        fan(x, 30 + 64 * i, (0,), 32, action)
        fan(x, 62 + 64 * i, (0,), 32, state)
        state(x, 30 + 64 * i)
    s.box(x - 8, 214, 16, 16, kind="box")
    x = columns[5]
    fan(x, 30, (-22, 22), 40, state)
    state(x, 30)
    fan(x - 22, 70, (-14, 10), 40, state)
    fan(x + 22, 70, (6,), 40, state)
    state(x - 22, 70)
    state(x + 22, 70)
    fan(x - 36, 110, (-6, 14), 40, state)
    state(x - 36, 110)
    return s


def tree_search() -> Sheet:
    s = Sheet(
        680,
        250,
        "One simulation of a tree search: select, expand and judge, back up; then act by the visits.",
    )
    tree = {0: (0.0, 40.0), 1: (-40.0, 95.0), 2: (40.0, 95.0), 3: (-62.0, 150.0), 4: (-18.0, 150.0)}
    edges = ((0, 1), (0, 2), (1, 3), (1, 4))
    for x0, name, path, new in (
        (85, "1. select", ((0, 1), (1, 4)), False),
        (255, "2. expand and judge", (), True),
        (425, "3. back up", ((4, 1), (1, 0)), True),
    ):
        s.text(x0, 20, name, "strong")
        for a, b in edges:
            if (a, b) not in path and (b, a) not in path:
                s.line([(x0 + tree[a][0], tree[a][1]), (x0 + tree[b][0], tree[b][1])])
        if new:
            s.line([(x0 - 18, 150), (x0 - 18, 205)], "line accent" if not path else "line")
        for x, y in tree.values():
            s.circle(x0 + x, y, 11)
        if new:
            s.circle(x0 - 18, 205, 11, "box accent")
        for a, b in path:
            (xa, ya), (xb, yb) = tree[a], tree[b]
            length = math.hypot(xb - xa, yb - ya)
            ux, uy = (xb - xa) / length * 13, (yb - ya) / length * 13
            s.arrow((x0 + xa + ux, ya + uy), (x0 + xb - ux, yb - uy), kind="line accent thick")
    s.text(285, 209, "(p, v) = f_θ(s)", "small", "start")
    s.arrow((425 - 18, 192), (425 - 18, 164), kind="line accent thick")
    s.text(450, 190, "v, then -v, then v", "small", "start")
    s.text(600, 20, "4. act", "strong")
    for i, visits in enumerate((25, 7)):
        s.box(560 + 48 * i, 150 - 4 * visits, 34, 4 * visits, kind="box accent" if i == 0 else "box")
        s.text(577 + 48 * i, 168, f"N={visits}", "small")
    s.text(600, 190, "π ∝ visits", "small")
    return s


def ablation() -> Sheet:
    tasks = json.loads((RESULTS / "ablation.json").read_text())["tasks"]
    names = list(next(iter(tasks.values())))
    s = Sheet(
        700,
        70 + 20 * len(names),
        "Intervals of the final return of PPO with one detail changed, on three tasks.",
    )
    for i, name in enumerate(names):
        s.text(240, 55 + 20 * i, name, "small", "end")
    for column, (env, rows) in enumerate(tasks.items()):
        left, width = 255 + 150 * column, 130
        found = {name: np.array(rows[name]["final_return"]) for name in names}
        ends = {name: mean_ci(x) for name, x in found.items()}
        low, high = min(e[0] for e in ends.values()), max(e[1] for e in ends.values())

        def at(
            value: float, left: float = left, width: float = width, low: float = low, high: float = high
        ) -> float:
            return left + width * (value - low) / (high - low)

        s.text(left + width / 2, 22, env, "strong")
        s.line(
            [(at(found["the preset"].mean()), 36), (at(found["the preset"].mean()), 46 + 20 * len(names))],
            "dashed",
        )
        for i, name in enumerate(names):
            y = 51 + 20 * i
            s.line([(at(ends[name][0]), y), (at(ends[name][1]), y)], "line thick accent")
            s.circle(at(found[name].mean()), y, 3.5, "dot")
        s.text(left, 62 + 20 * len(names), f"{low:.0f}", "small", "start")
        s.text(left + width, 62 + 20 * len(names), f"{high:.0f}", "small", "end")
    return s


DRAWINGS: dict[str, Callable[[], Sheet]] = {
    "loop": loop,
    "three-parts": three_parts,
    "bodies": bodies,
    "q-network": q_network,
    "ppo-clip": ppo_clip,
    "c51-projection": c51_projection,
    "trust-region": trust_region,
    "replay": replay,
    "backups": backups,
    "tree-search": tree_search,
    "ablation": ablation,
}


class Drawing(SphinxDirective):
    """A drawing, with the directive's content as its caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in DRAWINGS:
            raise self.error(f"drawing: {', '.join(DRAWINGS)}, not {name}")
        self.env.note_dependency(__file__)
        opening = nodes.raw(
            "", f'<figure class="drawing">{DRAWINGS[name]().svg()}<figcaption>', format="html"
        )
        caption = self.parse_content_to_nodes()
        return [opening, *caption, nodes.raw("", "</figcaption></figure>", format="html")]


def setup(app: Sphinx) -> dict:
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
