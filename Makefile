# Every target sets up what it needs: a virtual environment in .venv, and for demo and test a Docker Engine.
BIN := .venv/bin
# Tests wait for containers more than they compute: at least 2 at a time, at most 8.
JOBS = $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -ge 2 ] || n=2; [ $$n -le 8 ] || n=8; echo $$n)
PYTEST = $(BIN)/pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-full lint format doctor venv venv-dev wheel clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: venv ## Set up all that is missing, run the demo suite, write its report
	@$(BIN)/harness doctor --fix
	@$(BIN)/harness run tasks/demo -m scripted/careful -m scripted/hasty -n 2 --controls --again

test: venv-dev ## Set up all that is missing, run every test but the long proofs
	@$(BIN)/harness doctor --fix --tests
	@$(PYTEST) -m "not full"

test-full: venv-dev ## Run every test, the long proofs too
	@$(BIN)/harness doctor --fix --tests
	@$(PYTEST)

lint: venv-dev ## Check format, style and types
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy

format: venv-dev ## Format the code and mend what can be mended
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

doctor: venv ## Say what is missing on this machine and what to do
	@$(BIN)/harness doctor

venv: ## Make the virtual environment .venv, or bring it up to date
	@.ci/venv

venv-dev:
	@.ci/venv dev

wheel: venv ## Build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist

clean: ## Remove caches and built files; .venv and runs stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find harness tests -name __pycache__ -type d -prune -exec rm -rf {} +
