"""Chromium without a window is driven through two pipes, by its DevTools protocol: no driver and no port is needed.

https://chromedevtools.github.io/devtools-protocol/: a message is JSON with a zero byte behind it; answers bear the
number of the question, events have none.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = "chromium", "chromium-browser", "google-chrome"
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe
"""
# Chromium listens to descriptor 3 and answers on 4.
LAUNCH = """
import os, sys
hear, tell, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
os.dup2(hear, 3)
os.dup2(tell, 4)
os.execvp(program[0], program)
"""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
TYPED = {"Enter": "\r", " ": " "}
PATIENCE = 120  # seconds, on a machine that is busy
# The window of a page never scrolls sideways, because the theme's own boxes do so or hide what is too wide. So each
# box is asked. Only these may scroll, each by itself; drawings and formulas have sizes of their own.
SCROLLERS = ".table-wrapper, pre, div.formula, figure.drawing, div.taxonomy"
TOO_WIDE = f"""(() => {{
  document.querySelectorAll("details").forEach((x) => (x.open = true));
  const boxes = [...document.querySelectorAll(".main, .content, article, article *")];
  return boxes
    .filter((x) => !x.closest("{SCROLLERS}") && !x.closest("svg, math, .katex"))
    // A box within a line has no width of its own, and the last letter of a line may lean out by a pixel.
    .filter((x) => x.clientWidth > 0 && x.scrollWidth > x.clientWidth + 1)
    .map((x) => `${{x.tagName}} ${{x.className}} ${{x.id}}: ${{x.scrollWidth}} pixels in ${{x.clientWidth}}`);
}})()"""


def program() -> str | None:
    """Find a browser; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def away(descriptor: int) -> int:
    """Move a descriptor to where it is not in the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser:
    """One tab of one browser; `events` are what it told since the page was opened."""

    def __init__(self, command: str, profile: Path) -> None:
        hear, self.into = os.pipe()
        self.out, tell = os.pipe()
        hear, tell = away(hear), away(tell)
        launch = [sys.executable, "-c", LAUNCH, str(hear), str(tell), command, *FLAGS.split()]
        launch += [f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            launch, pass_fds=(hear, tell), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(hear)
        os.close(tell)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and wait for its answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while (answer := self.read()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def read(self) -> dict[str, Any]:
        """Wait for the next message."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.out], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            more = os.read(self.out, 1 << 20)
            assert more, "the browser has ended"
            self.buffer += more
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def look(
        self, width: int, height: int, scheme: str = "light", motion: str = "no-preference", scale: float = 1
    ) -> None:
        """Set the window, the reader's colours, and whether things may move."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        listed = [{"name": name, "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", features=listed)

    def open(self, url: str) -> None:
        """Go to a page and wait until everything of it is loaded."""
        self.events = []
        self.ask("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < end, f"{url} does not load"
            self.events.append(self.read())

    def js(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def too_wide(self) -> list[str]:
        """Return the parts of the page that are wider than their places, with everything that folds opened."""
        assert self.js("document.querySelectorAll('.main .content article').length") == 1
        return self.js(TOO_WIDE)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, one after the other."""
        for key in keys:
            code = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 * shift}
            code["code"] = "Space" if key == " " else key
            down = {"type": "keyDown", "text": TYPED[key]} if key in TYPED else {"type": "rawKeyDown"}
            self.ask("Input.dispatchKeyEvent", **code, **down)
            self.ask("Input.dispatchKeyEvent", **code, type="keyUp")

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for."""
        sent = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def errors(self) -> list[str]:
        """Return what the console has shown as an error."""
        found = []
        for event in self.events:
            method, told = event.get("method"), event.get("params", {})
            if (
                method == "Runtime.exceptionThrown"
                or (method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"))
                or (method == "Log.entryAdded" and told["entry"]["level"] == "error")
            ):
                found.append(json.dumps(told))
        return found

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as a PNG."""
        import base64

        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        self.session = None
        try:
            self.ask("Browser.close")
            self.process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.into)
        os.close(self.out)


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """Open a browser, and close it at the end; where there is none, the test is skipped and says so."""
    command = program()
    if command is None:
        pytest.skip(f"needs a browser: {', '.join(NAMES)}")
    browser = Browser(command, profile)
    try:
        yield browser
    finally:
        browser.close()
