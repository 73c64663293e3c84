"""A notebook shows the progress as a bar that is drawn anew in its place."""

import html
import io
import sys
import time
from collections.abc import Callable
from typing import Any

from swingup.training.callbacks import Console
from swingup.training.driver import Callback, Progress

EVERY_SECONDS = 0.5


def console() -> Callback:
    """Return what shows the progress here: a bar in a notebook, and else lines on stdout."""
    ipython = sys.modules.get("IPython")  # whoever runs a notebook has imported it
    shell = ipython and ipython.get_ipython()
    if type(shell).__name__ == "ZMQInteractiveShell":  # Jupyter's; IPython's own is a terminal
        from IPython import display  # pyright: ignore[reportMissingImports]

        return NotebookBar(lambda text: display.display(display.HTML(text), display_id=True), display.HTML)
    return Console()


class NotebookBar:
    """This callback draws a bar and the line of `Console` below it.

    show      takes HTML, displays it, and returns the handle by whose `update` it is replaced
    update    makes of HTML what the handle takes
    """

    def __init__(self, show: Callable[[str], Any], update: Callable[[str], Any]):
        self.show, self.update, self.handle = show, update, None
        self.lines, self.before = Console(io.StringIO()), 0.0

    def __call__(self, p: Progress) -> None:
        self.lines(p)  # so that it knows when the session began
        now, last = time.monotonic(), p.iteration == p.iterations
        if self.handle is not None and now - self.before < EVERY_SECONDS and not last:
            return
        self.before = now
        text = drawn(p.iteration / p.iterations, self.lines.line(p))
        if self.handle is None:
            self.handle = self.show(text)
        else:
            self.handle.update(self.update(text))


def drawn(share: float, line: str) -> str:
    """Return the bar as HTML."""
    return (
        f'<progress value="{share:.4f}" max="1" style="width:100%;max-width:40em"></progress>'
        f"<pre>{html.escape(' '.join(line.split()))}</pre>"
    )
