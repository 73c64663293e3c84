"""One file is one exercise: what the learner gets, the right answer, cases, and the classic wrong answers."""
