# `make demo`, `make test`: both set up .venv themselves; they need Python 3.11 or newer and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := demo/run
# Tests spend most of their time in XLA's compiler; with its older code generator it takes a third less. What is proved
# bit for bit between processes is run as users run it: see tests/cli/test_kill.py.
FASTER := XLA_FLAGS="--xla_cpu_use_fusion_emitters=false $(XLA_FLAGS)"

.PHONY: help setup demo test test-slow test-everything mutants results lint format docs clean

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/'

setup: $(VENV)/.installed  ## make .venv with the pinned packages

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## train PPO on CartPole, draw the curve and an animation
	@rm -rf $(RUN)
	@$(BIN)/swingup train ppo CartPole-v1 --seeds 4 --play --out $(RUN)
	@cp $(RUN)/curve.png demo/curve.png
	@cp $(RUN)/agent.gif demo/agent.gif
	@echo "wrote demo/curve.png and demo/agent.gif"

test: setup  ## run the tests (twelve minutes or so on two cores)
	@$(FASTER) $(BIN)/python -m pytest

test-slow: setup  ## run the tests that take minutes each
	@$(FASTER) $(BIN)/python -m pytest -m slow

test-everything: setup  ## run the slow tests, and those whose subject others prove too (an hour and more)
	@$(FASTER) $(BIN)/python -m pytest -m slow --everything

mutants: setup  ## put two hundred mistakes into the code, one by one: does the fast suite see each? (hours)
	@$(BIN)/python benchmarks/mutants.py

results: setup  ## make the numbers of benchmarks/results.toml again; it fails where one leaves its band
	@$(BIN)/python benchmarks/regenerate.py

lint: setup  ## ruff and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup  ## let ruff format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup  ## build the documentation into docs/_build/html
	@$(BIN)/sphinx-build -W -n --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:  ## remove everything that was built
	rm -rf $(VENV) demo docs/_build .pytest_cache .ruff_cache .hypothesis
