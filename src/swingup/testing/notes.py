"""What is worth knowing of an environment and is not a fault: one message for each note."""

# code: where, what (with fields to fill in), what it may mean
NOTES: dict[str, tuple[str, str, str]] = {
    "never-ends": (
        "terminated, truncated",
        "no episode ended in {env_steps} env steps of random actions",
        "If episodes are longer than that, raise env_steps; if they never end, set a time limit.",
    ),
    "time-limit-as-death": (
        "terminated",
        "all {count} episodes terminated after exactly {length} env steps",
        "If that is a time limit, report it as truncated: the value of the last state is not 0.",
    ),
    "actions-ignored": (
        "step",
        "smallest and largest actions gave the same observations and rewards",
        "If actions matter later on, all is well; else there is nothing to learn.",
    ),
    "statistics-suspected": (
        "a wrapper",
        "{error}",
        "If observations and rewards do not depend on them, all is well.",
    ),
    "obs-shared": (
        "observations",
        "step returns the same array each time and writes over it",
        "swingup copies it; others may not: return self.obs.copy().",
    ),
}
