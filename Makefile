# Every target makes or renews the environment first; that costs nothing when nothing changed.

.DEFAULT_GOAL := help
.PHONY: help env check fmt test explore endurance crash soak swarm bench docs
BIN := .venv/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s  %s\n", $$1, $$2 }' Makefile

env: ## make or renew .venv
	@scripts/provision.sh

check: env ## every check and every test, as CI runs them
	@scripts/check.sh

fmt: env ## format and mend what can be mended by machine
	@$(BIN)/ruff check --fix-only --quiet crypto wire node chat scripts tests
	@$(BIN)/ruff format crypto wire node chat scripts tests

test: env ## the tests alone; make test ARGS="tests/wire -x"
	@$(BIN)/python -m pytest -q $(ARGS)

explore: env ## properties with examples drawn anew each time; make explore ARGS="tests/simulation"
	@$(BIN)/python -m pytest -q --hypothesis-profile explore $(or $(ARGS),$(shell grep -rl "from hypothesis" tests --include='test_*.py'))

endurance: env ## the tests that take minutes: kills at many moments
	@$(BIN)/python -m pytest -q -m endurance --timeout 1800 $(ARGS)

soak: env ## half an hour of clients that come, ask, cancel and vanish; make soak ARGS="--minutes 3"
	@$(BIN)/python -m scripts.bench.soak $(ARGS)

crash: env ## kill a host 200 times in the middle of commands; make crash ARGS="--seed 7 --kills 50"
	@$(BIN)/python -m pytest -q -s -m endurance --timeout 7200 tests/end_to_end/test_killed_hosts.py $(ARGS)

swarm: env ## three hosts on this machine answer one question; make swarm ARGS=start keeps them
	@scripts/local-swarm.sh $(or $(ARGS),demo)

bench: env ## measure what a hop costs, and a chain against the whole model
	@$(BIN)/python -m scripts.bench.hop
	@$(BIN)/python -m scripts.bench.chain $(ARGS)

docs: env ## rewrite the tables of specs/ and of the configuration from the code
	@$(BIN)/python -m scripts.check_specs --write
