"""MuJoCo draws with an OpenGL library that works on a machine without a display."""

import functools
import os
import platform
import subprocess
import sys

from swingup.errors import ConfigError

# Libraries that need no display come first; a window system's is tried where there is one.
LIBRARIES = ("egl", "osmesa", "glfw")
INSTALL = {
    "debian": "apt-get install libegl1 libgl1 libgl1-mesa-dri",
    "fedora": "dnf install mesa-libEGL mesa-libGL mesa-dri-drivers",
    "arch": "pacman -S mesa",
    "suse": "zypper install Mesa-libEGL1 Mesa-libGL1 Mesa-dri",
}
# Half of a broken installation loads: only a context with MuJoCo's own resources in it shows that all is there.
# It is tried in another process, because some of what can go wrong ends the process in which it does.
TRIAL = """\
import mujoco
context = mujoco.GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
context.free()
"""


def choose() -> None:
    """Set the environment variable MUJOCO_GL to the first of `LIBRARIES` that works, unless it is set.

    MuJoCo and Gymnasium read it when they are imported or first draw, so this comes before both. Raises
    `ConfigError`, with the package to install on this system, if none works.
    """
    if platform.system() != "Linux":  # the others draw without a window
        return
    chosen = os.environ.get("MUJOCO_GL", "")
    if chosen and works(chosen):
        return
    if chosen:
        raise ConfigError(
            f"MuJoCo cannot draw: the environment variable MUJOCO_GL is {chosen!r}, which does not work here; "
            "unset it, and the library is chosen by what works"
        )
    library = next(filter(works, LIBRARIES), None)
    if library is None:
        raise ConfigError(
            f"MuJoCo cannot draw: no OpenGL library works without a display here; {cure()}, or leave out the picture"
        )
    os.environ["MUJOCO_GL"] = library


@functools.cache
def works(library: str) -> bool:
    """Say whether MuJoCo can draw with it. About a second, in a process of its own."""
    if library == "glfw" and not os.environ.get("DISPLAY"):
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRIAL],
            env=os.environ | {"MUJOCO_GL": library},
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def cure() -> str:
    """Say what to install, on this distribution of Linux or, if it is not known, on each."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    family = " ".join((release.get("ID", ""), release.get("ID_LIKE", "")))
    known = [line for name, line in INSTALL.items() if name in family]
    return known[0] if known else "install one: " + "; ".join(f"{n}: {line}" for n, line in INSTALL.items())
