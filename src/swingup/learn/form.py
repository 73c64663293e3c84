"""An exercise is data: a start file, the right answer, cases to try it on, and wrong answers with their names."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

Answer = Callable[..., Any]
Case = dict[str, Any]  # the arguments of one call, by name


def call(answer: Answer, case: Case) -> Any:
    """Call an answer with the arguments of a case: how most exercises look at one."""
    return answer(**case)


class Exercise(NamedTuple):
    """This is one exercise. Its id is the first part of its file's name."""

    title: str
    page: str  # the page of the docs that teaches it, and the heading there: page#anchor
    start: str  # the text of the learner's file: a docstring with shapes, and one TODO or one bug
    answer: Answer  # the right answer; the learner's function has its name and its arguments
    cases: Callable[[], dict[str, Case]]  # the first is the one that the learner's file shows
    wrong: dict[str, Answer]  # what is wrong: an answer that makes this mistake
    hints: tuple[str, str, str]  # a question, the place, the formula
    look: Callable[[Answer, Case], Any] = (
        call  # what is compared; for answers that may differ, their properties
    )
    hunt: str = (
        ""  # the public project that had the bug of the learner's file, which is complete; empty: none
    )
    trains: str = ""  # what `swingup learn train` does with the answer; empty: nothing

    @property
    def name(self) -> str:
        """Return the name of the function that the learner writes."""
        return self.answer.__name__

    @property
    def solution(self) -> str:
        """Return the right answer as a file that passes."""
        return f"import numpy as np\n\n\n{inspect.getsource(self.answer)}"
