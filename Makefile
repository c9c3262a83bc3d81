# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types recipes bench docs clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# The peers go to a folder of their own that only `make bench` looks into: nothing else can come to need them.
.venv/.bench: .venv/.installed benchmarks/requirements.txt benchmarks/requirements-compiled.txt
	$(BIN)/pip install --quiet --no-deps --upgrade --target .venv/peers --requirement benchmarks/requirements.txt
	-$(BIN)/pip install --quiet --no-deps --upgrade --target .venv/peers --requirement benchmarks/requirements-compiled.txt
	touch $@

demo: .venv/.installed  ## learn 3s -> 8s and digits by class; writes demo/*/report.html
	$(BIN)/python examples/demo.py

test: .venv/.installed  ## the whole test suite, in parallel
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed
	$(BIN)/pyright

recipes: .venv/.installed  ## run every recipe at its small size; record what was measured
	$(BIN)/pushforward recipe run --all --record docs/results
	$(BIN)/pushforward recipe table docs/results -o docs/systems.md

docs: .venv/.installed  ## regenerate the generated pages
	$(BIN)/python docs/generate.py
	$(BIN)/pushforward recipe table docs/results -o docs/systems.md
	$(BIN)/python -m benchmarks table

bench: .venv/.bench  ## side by side with the peers, in one run; writes benchmarks/results and docs/benchmarks.md
	OMP_NUM_THREADS=1 PYTHONPATH=.venv/peers $(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist demo runs
