# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= benchmarks/peer/metrics.json
WORK ?= /tmp/palate-size

.PHONY: demo test test-slow lint install bench-ml1m bench-movietweetings bench-peer bench-merging bench-windows bench-simulator bench-size clean

demo: $(INSTALLED)  ## The whole path on the simulated service: simulate, train, measure, show.
	rm -rf palate-demo
	$(BIN)/palate demo --out palate-demo

test: $(INSTALLED) lint  ## Lint, types, import rules, tests.
	$(BIN)/pytest

test-slow: $(INSTALLED)  ## The longer tests, and those on the evaluation data.
	$(BIN)/pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-ml1m: $(INSTALLED)  ## Train on MovieLens-1M, choose by validation, look at the test part once.
	$(BIN)/python benchmarks/ml1m/bench.py

bench-movietweetings: $(INSTALLED)  ## The same on MovieTweetings, by its temporal protocol.
	$(BIN)/python benchmarks/movietweetings/bench.py

bench-peer: $(INSTALLED)  ## Training speed beside RecTools' SASRec, in one run.
	benchmarks/peer/setup.sh
	$(BIN)/python benchmarks/peer/bench.py --out $(OUT)

bench-merging: $(INSTALLED)  ## Whether merging adjacent events pays, on wikipedia-edits and the simulated service.
	$(BIN)/python benchmarks/merging/bench.py wikipedia-edits --budget 600000 --json benchmarks/merging/wikipedia-edits.json
	$(BIN)/python benchmarks/merging/bench.py service --budget 600000 --json benchmarks/merging/service.json

bench-windows: $(INSTALLED)  ## Very long histories: every window against the last one.
	$(BIN)/python benchmarks/windows/bench.py --json benchmarks/windows/metrics.json

bench-simulator: $(INSTALLED)  ## Both oracles on the simulated service, and a critic who tells it from real data.
	$(BIN)/python benchmarks/simulator/oracles.py
	$(BIN)/python benchmarks/simulator/critic.py

bench-size: $(INSTALLED)  ## Logs of 1, 10 and 100 million events, stage by stage; WORK needs 40 GB.
	$(BIN)/python benchmarks/size/bench.py --work $(WORK)

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,plots]'
	touch $@

clean:
	rm -rf $(VENV) palate-demo
