# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= benchmarks/peer/metrics.json
WORK ?= /tmp/palate-size

.PHONY: demo test test-slow lint install bench-ml1m bench-movietweetings bench-peer bench-race bench-merging bench-windows bench-simulator bench-size bench-intents bench-time bench-cold bench-next bench-objective bench-cost bench-speed bench-batch bench-estimate bench-processes bench-device bench-length bench-cache bench-catalogue clean

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

bench-race: $(INSTALLED)  ## How long Palate trains until it is as good as RecTools' SASRec after half an hour.
	benchmarks/peer/setup.sh
	$(BIN)/python benchmarks/peer/race.py trials --json benchmarks/peer/trials.json
	$(BIN)/python benchmarks/peer/race.py race --json benchmarks/peer/race.json

bench-merging: $(INSTALLED)  ## Whether merging adjacent events pays, on wikipedia-edits and the simulated service.
	$(BIN)/python benchmarks/merging/bench.py wikipedia-edits --budget 600000 --json benchmarks/merging/wikipedia-edits.json
	$(BIN)/python benchmarks/merging/bench.py service --budget 600000 --json benchmarks/merging/service.json

bench-windows: $(INSTALLED)  ## Very long histories: every window against the last one.
	$(BIN)/python benchmarks/windows/bench.py --json benchmarks/windows/metrics.json

bench-simulator: $(INSTALLED)  ## Both oracles on the simulated service, and a critic who tells it from real data.
	$(BIN)/python benchmarks/simulator/oracles.py
	$(BIN)/python benchmarks/simulator/critic.py

bench-intents: $(INSTALLED)  ## Intents beside simple rules and other encoders; items fed by them; the true intents.
	$(BIN)/python benchmarks/intents/bench.py --seeds 3 --json benchmarks/intents/metrics.json
	$(BIN)/python benchmarks/intents/plots.py benchmarks/intents/metrics.json

bench-time: $(INSTALLED)  ## What the model's knowledge of time is worth, on the simulated service.
	$(BIN)/python benchmarks/time/bench.py --seeds 2 --json benchmarks/time/service.json

bench-cold: $(INSTALLED)  ## Hidden titles beside content-kNN, and what metadata do to the others.
	$(BIN)/python benchmarks/cold/bench.py service --json benchmarks/cold/service.json
	$(BIN)/python benchmarks/cold/bench.py ml-1m --json benchmarks/cold/ml-1m.json
	$(BIN)/python benchmarks/cold/gate.py

bench-next: $(INSTALLED)  ## The next ten targets with and without multi-token prediction.
	$(BIN)/python benchmarks/next/bench.py --seeds 1 --json benchmarks/next/service.json

bench-objective: $(INSTALLED)  ## Rewards and presentation bias, by the simulator's truth.
	$(BIN)/python benchmarks/objective/bench.py --seeds 2 --epochs 8 --variants plain rewards presentation --json benchmarks/objective/metrics.json

bench-cost: $(INSTALLED)  ## What each part of the model costs in training.
	$(BIN)/python benchmarks/cost/bench.py service --json benchmarks/cost/service.json

bench-length: $(INSTALLED)  ## Window and summaries beside dense attention: time, memory, and what is learned.
	$(BIN)/python benchmarks/length/bench.py cost --json benchmarks/length/cost.json
	$(BIN)/python benchmarks/length/bench.py quality --json benchmarks/length/quality.json

bench-cache: $(INSTALLED)  ## An event, a question and a decoded step from caches, against recomputation.
	$(BIN)/python benchmarks/cache/bench.py --json benchmarks/cache/metrics.json

bench-speed: $(INSTALLED)  ## Where the time of a training step goes, and the share of the machine's peak.
	$(BIN)/python benchmarks/speed/bench.py --histories 128 --json benchmarks/speed/metrics.json

bench-catalogue: $(INSTALLED)  ## Catalogues of 10 thousand to 5 million items: steps, memory, gradients, NDCG, ranking.
	$(BIN)/python benchmarks/catalogue/bench.py --json benchmarks/catalogue/metrics.json
	$(BIN)/python benchmarks/catalogue/quality.py --json benchmarks/catalogue/quality.json
	$(BIN)/python benchmarks/catalogue/train.py --json benchmarks/catalogue/train.json

bench-size: $(INSTALLED)  ## Logs of 1, 10 and 100 million events, stage by stage; WORK needs 40 GB.
	$(BIN)/python benchmarks/size/bench.py --work $(WORK)

bench-batch: $(INSTALLED)  ## Recommending for all members of ML-1M beside RecTools.
	benchmarks/peer/setup.sh
	$(BIN)/python benchmarks/batch/bench.py --json benchmarks/batch/metrics.json

bench-estimate: $(INSTALLED)  ## Memory and time of trainings, estimated and as they turned out.
	$(BIN)/python benchmarks/estimate/bench.py --json benchmarks/estimate/metrics.json

bench-device: $(INSTALLED)  ## Training on a GPU: speed, and the share of its peak.
	$(BIN)/python benchmarks/device/bench.py --device cuda --json benchmarks/device/metrics.json

bench-processes: $(INSTALLED)  ## Losses, weights, memory and time with one and two processes.
	$(BIN)/python benchmarks/processes/bench.py --json benchmarks/processes/metrics.json

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,plots]'
	touch $@

clean:
	rm -rf $(VENV) palate-demo
