"""An answer is judged by its outputs on all cases: it is right, equal to a known wrong answer, or new.

No mistake has a detector of its own. A wrong answer is known by its fingerprint: what it returns, or the type of what
it raises, on each case of the exercise.
"""

import copy
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np

from swingup.learn.form import Answer, Case, Exercise

RTOL, ATOL = 1e-6, 1e-8
TRACE = 4000  # characters of a traceback that are kept


class Outcome(NamedTuple):
    """This is what one call did."""

    values: tuple[np.ndarray, ...] | None = None  # what it returned, one array per result
    raised: str = ""  # the type of what it raised
    odd: str = ""  # how the result is no array of numbers
    changed: str = ""  # the argument that it changed
    error: BaseException | None = None


class Finding(NamedTuple):
    """This is what the judge says of an answer. All of it is JSON."""

    state: str  # passed, failed or open
    message: str  # one sentence
    mistake: str = ""  # the name of a known wrong answer
    case: str = ""  # the case that shows it
    where: str = ""  # which number of the result
    yours: str = ""
    right: str = ""
    line: int = 0  # of the learner's file; 0: none
    trace: str = ""


def outcomes(exercise: Exercise, answer: Answer, cases: dict[str, Case]) -> list[Outcome]:
    """Call an answer on each case, with copies of the arguments."""
    return [outcome(exercise, answer, case) for case in cases.values()]


def outcome(exercise: Exercise, answer: Answer, case: Case) -> Outcome:
    """Call an answer on one case; whatever it raises is an outcome too."""
    given = copy.deepcopy(case)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = exercise.look(answer, given)
        values, odd = plain(result)
    except BaseException as error:  # an exit too: nothing that a learner writes may end the judge
        return Outcome(raised=type(error).__name__, error=error)
    changed = [name for name, value in case.items() if not untouched(value, given[name])]
    return Outcome(values, odd=odd, changed=changed[0] if changed else "")


def plain(result: Any) -> tuple[tuple[np.ndarray, ...] | None, str]:
    """Turn a result into arrays, one for each entry of a tuple; or say why that cannot be.

    >>> plain((1, [2.0, 3.0]))[0]
    (array(1.), array([2., 3.]))
    >>> plain("one"), plain(None)
    ((None, 'text'), (None, 'None'))
    """
    values = []
    for part in result if isinstance(result, tuple) else (result,):
        if part is None:
            return None, "None"
        if isinstance(part, str | bytes):
            return None, "text"
        try:
            array = np.asarray(part)
        except (ValueError, TypeError):
            return None, "a list whose rows differ in length"
        if array.dtype.kind not in "biuf":
            return None, f"{'an' if type(part).__name__[0] in 'aeiou' else 'a'} {type(part).__name__}"
        values.append(array.astype(np.float64))
    return tuple(values), ""


def untouched(before: Any, after: Any) -> bool:
    """Say whether an argument has its old value."""
    if isinstance(before, np.ndarray):
        return isinstance(after, np.ndarray) and np.array_equal(before, after, before.dtype.kind == "f")
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(untouched, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(untouched(x, after[name]) for name, x in before.items())
    return callable(before) or before == after


def same(a: Outcome, b: Outcome) -> bool:
    """Say whether two calls did the same: equal numbers within rounding, or an exception of one type."""
    if a.values is None or b.values is None:
        return (a.raised, a.odd) == (b.raised, b.odd) and a.values is b.values
    return len(a.values) == len(b.values) and all(map(close, a.values, b.values))


def close(x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether two arrays have one shape and equal numbers within rounding; NaN equals NaN."""
    return x.shape == y.shape and bool(near(x, y).all())


def near(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Say of each entry whether it is equal within rounding; by operators, because an answer may patch NumPy.

    >>> near(np.array([1.0, np.inf, np.nan, 2.0]), np.array([1.0 + 1e-9, np.inf, np.nan, 3.0]))
    array([ True,  True,  True, False])
    """
    with np.errstate(all="ignore"):
        return (abs(x - y) <= ATOL + RTOL * abs(y)) & (abs(y) != np.inf) | (x == y) | (x != x) & (y != y)


class Judge:
    """A judge knows an exercise's cases with the right and the wrong outcomes, before any learner's code runs."""

    def __init__(self, exercise: Exercise):
        self.exercise, self.cases = exercise, exercise.cases()
        self.right = outcomes(exercise, exercise.answer, self.cases)
        self.wrong = {name: outcomes(exercise, f, self.cases) for name, f in exercise.wrong.items()}

    def __call__(self, answer: Answer, file: str = "") -> Finding:
        """Compare an answer with all that is known; `file` is where it was written, to find its line in a traceback."""
        got = outcomes(self.exercise, answer, self.cases)
        right = [same(x, y) for x, y in zip(got, self.right, strict=True)]
        if all(right):
            return self.passed(got)
        first = right.index(False)
        finding = self.numbers(got, first) | self.place(got[first].error, file)
        if got[first].raised == "NotImplementedError":
            return Finding("open", "It is not written yet: your code goes where TODO stands.", **finding)
        if got[first].odd == "None":
            return Finding("failed", "Your function returns None: is there a `return`?", **finding)
        for name, outcomes_ in self.wrong.items():
            if all(map(same, got, outcomes_)):
                return Finding("failed", f"This is a known mistake: {name}.", name, **finding)
        return Finding("failed", self.unknown(got, right, first), **finding)

    def passed(self, got: list[Outcome]) -> Finding:
        """Answers whose numbers are right must have left their arguments alone, too."""
        changed = [(name, x.changed) for name, x in zip(self.cases, got, strict=True) if x.changed]
        if changed:
            case, argument = changed[0]
            text = (
                f"The numbers are right, but your function changes its argument `{argument}`: work on a copy."
            )
            return Finding("failed", text, case=case)
        return Finding("passed", f"It is right on all {len(got)} cases.")

    def unknown(self, got: list[Outcome], right: list[bool], first: int) -> str:
        """Describe a wrong answer that has no name."""
        x, y = got[first], self.right[first]
        if x.error is not None:
            text = " ".join(str(x.error).split())[:300]
            return f"Your function raises {x.raised}{': ' if text else ''}{text}."
        if x.odd or x.values is None or y.values is None:
            return f"Your function returns {x.odd or 'something'}, where numbers are expected."
        if len(x.values) != len(y.values):
            return f"The number of results is {len(x.values)}, where {count(len(y.values))} expected."
        for mine, theirs in zip(x.values, y.values, strict=True):
            if mine.shape != theirs.shape:
                return f"Your result has the shape {mine.shape}, where {theirs.shape} is expected."
            if np.isnan(mine).any() and not np.isnan(theirs).any():
                return "Your result holds NaN, where every number is finite."
        changed = [z.changed for z in got if z.changed]
        if changed:
            return f"The numbers are wrong, and your function changes its argument `{changed[0]}`."
        if right[0]:
            return f"It is right on the shown case, but not on the case {list(self.cases)[first]!r}."
        likely = [name for name, wrong in self.wrong.items() if same(wrong[0], x)] if first == 0 else []
        return f"The numbers are wrong. It may be this: {likely[0]}." if likely else "The numbers are wrong."

    def numbers(self, got: list[Outcome], i: int) -> dict[str, Any]:
        """Show the first number of a case that differs, and the right one."""
        x, y, case = got[i], self.right[i], list(self.cases)[i]
        if x.values is None or y.values is None or len(x.values) != len(y.values):
            return {"case": case}
        for k, (mine, theirs) in enumerate(zip(x.values, y.values, strict=True)):
            if close(mine, theirs):
                continue
            result = f"result {k + 1}" if len(y.values) > 1 else ""
            if mine.shape != theirs.shape:
                return {"case": case, "where": result, "yours": shape(mine), "right": shape(theirs)}
            wrong = np.argwhere(~near(mine, theirs))[0]
            index = f"[{', '.join(map(str, wrong))}]" if len(wrong) else ""
            pair = digits(float(mine[tuple(wrong)]), float(theirs[tuple(wrong)]))
            return {"case": case, "where": f"{result}{index}", "yours": pair[0], "right": pair[1]}
        return {"case": case}

    @staticmethod
    def place(error: BaseException | None, file: str) -> dict[str, Any]:
        """Find the learner's line in what was raised, and the traceback: of a recursion three frames."""
        if error is None:
            return {}
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        shown = frames[:3] if isinstance(error, RecursionError) else frames
        text = "".join([*traceback.format_list(shown), *traceback.format_exception_only(error)])
        return {"line": (frames[-1].lineno or 0) if frames else 0, "trace": text[-TRACE:]}


def count(results: int) -> str:
    """Write a number of results.

    >>> count(1), count(2)
    ('1 result is', '2 results are')
    """
    return f"{results} result is" if results == 1 else f"{results} results are"


def shape(x: np.ndarray) -> str:
    """Write a shape, in the way that NumPy prints it."""
    return f"shape {x.shape}"


def digits(x: float, y: float) -> tuple[str, str]:
    """Write two different numbers with the digits that it takes to see that they differ.

    >>> digits(0.75, -0.287682), digits(1.00001, 1.00002)
    (('0.75', '-0.2877'), ('1.00001', '1.00002'))
    """
    for n in (4, 6, 9, 12):
        if f"{x:.{n}g}" != f"{y:.{n}g}":
            return f"{x:.{n}g}", f"{y:.{n}g}"
    return repr(float(x)), repr(float(y))
