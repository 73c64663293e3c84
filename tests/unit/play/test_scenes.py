"""The pictures show where things are, and the files are whole or absent."""

import math
import subprocess
import sys

import gymnax
import imageio_ffmpeg
import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from PIL import Image, ImageColor

from swingup.envs.tasks import TASKS
from swingup.errors import ConfigError, OutputError
from swingup.play import animation, scenes
from swingup.play.animation import write_animation
from swingup.play.scenes import ACCENT, INK, PALE, SCENES, TOL, captioned, frame

MINATAR = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")


def mask(image, colour, tolerance=24):
    """[H, W], true where the picture has this colour."""
    return np.all(abs(np.asarray(image, dtype=int) - ImageColor.getrgb(colour)) <= tolerance, axis=-1)


def where(image, colour):
    """The (x, y) of all pixels of a colour, [n, 2]."""
    return np.argwhere(mask(image, colour))[:, ::-1]


def cartpole(x=0.0, theta=0.0, caption=""):
    return frame("CartPole-v1", None, np.array([x, 0, theta, 0]), caption)


@pytest.mark.parametrize("name", SCENES)
def test_known_environments_have_one_size_and_need_no_state(name):
    if name in TASKS:
        state, obs = TASKS[name]().reset(jax.random.key(0))
    else:
        env, params = gymnax.make(name)
        obs, state = env.reset(jax.random.key(0), params)
    assert obs.size == SCENES[name][1]
    image = frame(name, None, obs, "return 1")
    assert (image.mode, image.size) == ("RGB", (480, 320))
    assert image == frame(name, state, obs, "return 1")  # at reset no torque, so the state adds nothing
    assert len(where(image, ACCENT)) > 200


# ------------------------------------------------------------------------------------- classic control


@pytest.mark.parametrize("theta", [-1.2, -0.2, -0.05, 0.0, 0.05, 0.2, 1.2])
def test_cartpole_leans_to_the_right_by_theta(theta):
    pole = where(cartpole(theta=theta), ACCENT)
    tip, foot = pole[pole[:, 1].argmin()], (240, 229)  # the cart is in the middle, its top at 229
    lean = math.atan2(tip[0] - foot[0], foot[1] - tip[1])
    assert lean == pytest.approx(theta, abs=0.06)


def test_cart_moves_right_in_proportion_to_x_and_fits_the_track():
    def centre(x):
        columns = where(cartpole(x), INK)[:, 0]
        return (columns.min() + columns.max()) / 2

    centres = np.array([centre(x) for x in (-2.4, -1.0, 0.0, 1.0, 2.4)])
    np.testing.assert_allclose(centres, 240 + 85 * np.array([-2.4, -1, 0, 1, 2.4]), atol=1)


@pytest.mark.parametrize("theta", [0.0, 0.7, math.pi / 2, 3.0, -2.0, -math.pi / 2])
def test_the_pole_that_swings_up_turns_clockwise_about_its_cart(theta):
    x = 0.6 * math.sin(theta)
    rod = where(frame("CartPoleSwingUp", None, [x, 0.0, math.cos(theta), math.sin(theta), 0.0]), ACCENT)
    off, high = rod.mean(0) - (240 + 85 * x, 190)
    length = math.hypot(off, high)
    assert length > 40
    np.testing.assert_allclose([off / length, -high / length], [math.sin(theta), math.cos(theta)], atol=0.05)


@pytest.mark.parametrize("theta", [0.0, 0.7, math.pi / 2, 3.0, -2.0, -math.pi / 2])
def test_pendulum_is_upright_at_zero_and_turns_anticlockwise(theta):
    rod = where(frame("Pendulum-v1", None, [math.cos(theta), math.sin(theta), 0.0]), ACCENT)
    x, y = rod.mean(0) - (240, 175)
    length = math.hypot(x, y)
    np.testing.assert_allclose([x / length, y / length], [-math.sin(theta), -math.cos(theta)], atol=0.05)


@pytest.mark.parametrize("torque", [-2.0, 2.0])
def test_pendulum_torque_is_an_arc_from_the_top_towards_its_side(torque):
    env, params = gymnax.make("Pendulum-v1")
    _, state = env.reset(jax.random.key(0), params)
    obs = [-1.0, 0.0, 0.0]  # hanging, out of the way
    state = state.replace(last_u=np.float32(torque))  # pyright: ignore[reportAttributeAccessIssue]
    arc = where(frame("Pendulum-v1", state, obs), INK).mean(0) - (240, 175)
    assert np.sign(arc[0]) == -np.sign(torque)  # positive is anticlockwise: to the left of the top
    assert arc[1] < -2


@pytest.mark.parametrize("seed", range(20))
def test_acrobot_has_the_geometry_of_gymnasium(seed):
    """Gymnasium's `render`: p1 = (-cos θ1, sin θ1) as (y, x), the second link at θ1 + θ2; y upwards."""
    env = AcrobotEnv()
    theta1, theta2 = np.random.default_rng(seed).uniform(-math.pi, math.pi, 2)
    env.state = np.array([theta1, theta2, 0.0, 0.0])
    image = frame("Acrobot-v1", None, env._get_ob())
    p1 = np.array([math.sin(theta1), -math.cos(theta1)])
    p2 = p1 + [math.sin(theta1 + theta2), -math.cos(theta1 + theta2)]

    def has(point, colour):
        x, y = np.rint(np.array([240, 175]) + 62.5 * point * [1, -1]).astype(int)
        return mask(image, colour)[y, x]

    if abs(theta2) < 2.5:  # folded back, the second link would hide the first
        assert has(0.5 * p1, INK)
    assert has(p1 + 0.5 * (p2 - p1), ACCENT)
    assert has(p2, ACCENT)
    assert not has(p1 + 1.2 * (p2 - p1), ACCENT)
    if abs(p2[1] - 1) > 0.05:  # the grey line is the goal: above it means that the episode is over
        top_of_tip = where(image, ACCENT)[:, 1].min() + 6.5
        assert (top_of_tip < 112.5) == bool(env._terminal())


def hill_rows(image, columns):
    """The row of the road in each column, from the picture alone."""
    return mask(image, INK)[60:].argmax(0)[columns] + 60


def test_the_hill_is_the_curve_of_the_environment():
    columns = np.arange(60, 420, 10)
    rows = hill_rows(frame("MountainCar-v0", None, [-1.2, 0.0]), columns)
    height = 0.45 * np.sin(3 * (columns / 480 * 1.8 - 1.2)) + 0.55
    slope, offset = np.polyfit(height, rows, 1)
    assert slope < -100
    np.testing.assert_allclose(rows, slope * height + offset, atol=1.5)


@pytest.mark.parametrize("position", [-0.9, -0.5236, -0.2, 0.0, 0.3])
def test_the_car_stands_on_the_hill(position):
    image = frame("MountainCar-v0", None, [position, 0.0])
    without = frame("MountainCar-v0", None, [-1.2 if position > -0.5 else 0.5, 0.0])
    x = (position + 1.2) / 1.8 * 480
    near = abs(np.arange(480) - x) < 60
    changed = np.argwhere((np.asarray(image) != np.asarray(without)).any(-1) & near)
    rows = hill_rows(without, changed[:, 1])
    below = changed[:, 0] - rows
    assert -4 <= below.max() <= 4  # the wheels end at the road, which has their colour and is 3 px thick,
    body = where(image, ACCENT)
    ground = np.array([x, hill_rows(without, [round(x)])[0]])
    assert 12 < np.linalg.norm(body.mean(0) - ground) < 28  # and the body is just above them


def test_the_flag_is_at_the_goal():
    for name, goal in (("MountainCar-v0", 0.5), ("MountainCarContinuous-v0", 0.45)):
        flag = where(frame(name, None, [-0.5, 0.0]), INK)
        flag = flag[flag[:, 1] < 70]
        assert flag[:, 0].max() == pytest.approx((goal + 1.2) / 1.8 * 480, abs=2)


# -------------------------------------------------------------------------------------------- MinAtar


def cell_colour(image, row, column):
    return "#{:02x}{:02x}{:02x}".format(*image.getpixel((10 + 30 * column + 15, 42 + 30 * row + 15)))


def test_breakout_paddle_is_at_its_cell():
    env, params = gymnax.make("Breakout-MinAtar")
    obs, state = env.reset(jax.random.key(3), params)
    for action in (1, 1, 2):  # left, left, right
        obs, state, *_ = env.step(jax.random.key(0), state, action, params)
        image = frame("Breakout-MinAtar", None, obs)
        row = [cell_colour(image, 9, c) for c in range(10)]
        assert [c for c in range(10) if row[c] == TOL[0]] == [int(state.pos)]
    assert image.size == (320, 352)


@pytest.mark.parametrize("game", MINATAR)
def test_minatar_cells_have_the_colour_of_their_channel(game):
    env, params = gymnax.make(f"{game}-MinAtar")
    shape = env.observation_space(params).shape
    obs = np.random.default_rng(0).random(shape) < 0.08
    image = frame(f"{game}-MinAtar", None, obs)
    assert shape[2] <= len(TOL) == len(set(TOL))
    for row, column in np.ndindex(10, 10):
        channels = np.flatnonzero(obs[row, column])
        expected = TOL[channels[:3][-1]] if channels.size else PALE  # nested: the last is in the middle
        assert cell_colour(image, row, column) == expected


def test_a_shared_cell_shows_both_channels():
    obs = np.zeros((10, 10, 4))
    obs[4, 7, [1, 3]] = 1
    image = frame("Breakout-MinAtar", None, obs)
    assert mask(image, TOL[3], 2).any()
    assert mask(image, TOL[1], 2).sum() > mask(image, TOL[3], 2).sum()


# ------------------------------------------------------------------------------- everything else, text


def test_an_unknown_vector_is_drawn_as_signed_bars():
    image = frame("MyEnv", None, [1.0, -1.0, 0.0, 1e12])
    heights = []
    for i in range(4):
        column = mask(image, ACCENT)[:, round(14 + (i + 0.5) * 113)]
        heights.append(int(column[:169].sum()) - int(column[172:].sum()))
    assert heights[0] == pytest.approx(57, abs=3)
    assert heights[1] == pytest.approx(-57, abs=3)
    assert heights[2] == pytest.approx(0, abs=1)
    assert heights[3] == pytest.approx(115, abs=3)


@pytest.mark.parametrize("high", [1.0, 255])
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 3)])
def test_an_unknown_image_is_shown_as_it_is(shape, high):
    obs = np.zeros(shape)
    obs[0, 1] = high
    obs[1, 0] = high / 2
    image = frame("MyEnv", None, obs)
    assert image.size == (480, 320)
    red = np.asarray(image)[[80, 80, 250, 250], [160, 320, 160, 320], 0]
    assert red.tolist() == pytest.approx([0, 255, 128, 0], abs=1)


@pytest.mark.parametrize(
    "shape", [(), (1,), (1, 3), (400,), (10, 5), (8, 8, 4), (84, 84, 4), (2, 5000), (2, 2, 2, 2)]
)
@pytest.mark.parametrize("name", ["MyEnv", *SCENES, "Breakout-MinAtar"])
def test_any_observation_can_be_drawn(name, shape):
    for value in (0, 1.0, np.nan, np.inf, -np.inf, 1e30):
        assert frame(name, None, np.full(shape, value)).mode == "RGB"


def test_caption_is_at_the_top_and_long_ones_still_fit():
    empty = np.asarray(cartpole(), dtype=int)
    for caption in ("return 137  env step 137", "a long story " * 8, "two\nlines"):
        rows, columns = np.nonzero(abs(np.asarray(cartpole(caption=caption)) - empty).sum(-1))
        assert rows.size
        assert 8 <= rows.min() <= rows.max() <= 32
        assert 12 <= columns.min() <= columns.max() <= 468


# ---------------------------------------------------------------------------------------------- files


def movie(n=40):
    return [cartpole(math.sin(i / 9), 0.1 * math.cos(i / 5), f"env step {i}") for i in range(n)]


@pytest.mark.parametrize(("fps", "milliseconds"), [(30, 1330), (50, 800), (25, 1600), (200, 800)])
def test_gif_has_every_frame_and_lasts_as_asked(tmp_path, fps, milliseconds):
    frames = movie()
    write_animation(tmp_path / "play.gif", frames, fps=fps)
    with Image.open(tmp_path / "play.gif") as gif:
        assert gif.n_frames == len(frames)  # pyright: ignore[reportAttributeAccessIssue]
        assert gif.info["loop"] == 0
        durations = []
        for i, original in enumerate(frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB"), dtype=int)
            assert abs(shown - np.asarray(original)).mean() < 0.05
            assert (shown[0, 0] == 255).all()
    assert sum(durations) == milliseconds
    assert min(durations) >= 20


def test_a_whole_cartpole_episode_is_less_than_a_megabyte(tmp_path):
    write_animation(tmp_path / "play.gif", movie(500), fps=50)
    assert (tmp_path / "play.gif").stat().st_size < 1_000_000


def test_gif_of_equal_frames_keeps_their_time_and_photographs_are_possible(tmp_path):
    write_animation(tmp_path / "still.gif", [cartpole()] * 25, fps=25)
    with Image.open(tmp_path / "still.gif") as gif:
        assert gif.info["duration"] == 1000
    photos = [frame("Photo", None, np.random.default_rng(i).random((20, 30, 3))) for i in range(3)]
    write_animation(tmp_path / "photo.gif", photos)
    with Image.open(tmp_path / "photo.gif") as gif:
        assert abs(np.asarray(gif.convert("RGB"), dtype=int) - np.asarray(photos[0])).mean() < 16


@pytest.mark.parametrize("size", [(480, 320), (101, 67)])
def test_mp4_plays_in_a_browser(tmp_path, size):
    path = tmp_path / "play.mp4"
    frames = [f.resize(size) for f in movie()]
    write_animation(str(path), frames, fps=30)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")  # starts before it is loaded
    # Decoded by imageio's program, but not by imageio: its reader forks and leaves a pipe open.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True)
    shape = (40, size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    shown = np.frombuffer(decoded.stdout, np.uint8).reshape(shape)
    for ours, theirs in zip(frames, shown, strict=True):
        assert abs(np.asarray(ours, dtype=int) - theirs[: size[1], : size[0]]).mean() < 3
    for property_ in (b"Video: h264", b"yuv420p", b"30 fps"):
        assert property_ in decoded.stderr


def test_a_photograph_becomes_a_gif_that_looks_like_it(tmp_path):
    """MuJoCo's pictures have tens of thousands of colours, which are counted together and not one by one."""
    y, x = np.mgrid[0:160, 0:200]
    frames = [Image.fromarray(np.stack([x, y, (x + y + i) // 2], -1).astype(np.uint8)) for i in (0, 3, 9)]
    write_animation(tmp_path / "photo.gif", frames)
    with Image.open(tmp_path / "photo.gif") as gif:
        for i, original in enumerate(frames):
            gif.seek(i)
            assert abs(np.asarray(gif.convert("RGB"), dtype=int) - np.asarray(original)).mean() < 8


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((32, 32, 3), (320, 352)),
        ((210, 160, 3), (320, 452)),
        ((400, 600, 4), (480, 352)),
        ((9, 9), (324, 356)),
    ],
)
def test_a_picture_of_an_environment_keeps_its_proportions_below_the_caption(shape, size):
    picture = np.zeros(shape, np.uint8)
    picture[: shape[0] // 2] = 255
    for form in (picture, picture / 255.0, picture > 0, picture.astype(np.int32)):
        image = captioned(form, "return 1")
        assert image.size == size
        rows = np.asarray(image, dtype=int)[32:, 5, 0]
        assert (rows > 127).mean() == pytest.approx(shape[0] // 2 / shape[0], abs=0.02)


def test_what_is_no_picture_is_refused():
    for shape in ((3,), (4, 4, 7), (0, 4), (2, 4, 4, 3)):
        with pytest.raises(ValueError, match=r"a picture is an array \[H, W\]"):
            captioned(np.zeros(shape))


def test_channels_first_and_stacked_frames_show_the_newest_picture():
    colours = np.zeros((40, 50, 3))
    colours[:, 25:, 0] = 1.0
    plain = frame("", None, colours)
    assert frame("", None, np.moveaxis(colours, -1, 0)) == plain
    assert frame("", None, np.stack([0 * colours, colours])) == plain
    assert frame("", None, np.concatenate([0 * colours, colours], -1)) == plain


def test_mp4_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    message = r"^writing MP4 needs imageio-ffmpeg: pip install 'swingup\[video\]', or choose a \.gif$"
    with pytest.raises(ConfigError, match=message):
        write_animation(tmp_path / "play.mp4", movie(2))
    assert list(tmp_path.iterdir()) == []
    write_animation(tmp_path / "play.gif", movie(2))


@pytest.mark.parametrize("name", ["play.webm", "play", ".gif"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        write_animation(tmp_path / name, movie(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_impossible_frames_and_rates_are_refused(tmp_path, suffix):
    path = tmp_path / f"play.{suffix}"
    for frames, fps in (([], 30), (movie(2), 0), ([*movie(2), Image.new("RGB", (8, 8))], 30)):
        with pytest.raises(ConfigError, match="at least one frame"):
            write_animation(path, frames, fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_a_missing_directory_is_made_and_an_impossible_one_is_an_error(tmp_path, suffix):
    write_animation(tmp_path / "a" / "b" / f"play.{suffix}", movie(2))
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "b", f"play.{suffix}"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=rf"cannot write .*play\.{suffix}: .+"):
        write_animation(tmp_path / "file" / f"play.{suffix}", movie(2))


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_an_error_among_the_frames_leaves_the_old_file_alone(tmp_path, suffix):
    def broken():
        yield from movie(3)
        raise RuntimeError("the policy blew up")

    path = tmp_path / f"play.{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="blew up"):
        write_animation(path, broken())  # pyright: ignore[reportArgumentType]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_a_full_disk_leaves_the_old_file_alone(tmp_path, suffix):
    resource = pytest.importorskip("resource")  # not on Windows
    path, frames = tmp_path / f"play.{suffix}", movie(10)
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match=rf"cannot write .*play\.{suffix}: .+"):
            write_animation(path, frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_ffmpeg_is_reported_in_its_own_words(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(OutputError, match="ffmpeg: no such codec"):
        write_animation(tmp_path / "play.mp4", movie(20))
    assert list(tmp_path.iterdir()) == [program]


@pytest.mark.parametrize(
    ("module", "names"), [(scenes, {"frame", "captioned"}), (animation, {"write_animation", "encoder"})]
)
def test_few_functions_are_public(module, names):
    public = {n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    assert {n for n in public if not n.startswith("_")} == names
