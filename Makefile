# Every target sets up .venv first if it has to. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/imageclef
COLLECTION ?=
FLAGS := $(if $(CONFIG),--config $(CONFIG))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-faults test-gpu fuzz mutants lint bench lock clean \
        ingest train extract classify index knn uapt-2018 serve bench-service bench-threads

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/.done  ## Create .venv with the exact versions of requirements.lock

.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imageclef needs Python 3.11 or newer; PYTHON=... names one")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Draw a collection and walk the whole path, in about two minutes
	$(RUN) demo

test: setup  ## Run the quick tests, on every core
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: setup  ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow

fuzz: setup  ## Give damaged files to every reader for a minute; SECONDS=600 TARGET=images for one
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(TARGET),--target $(TARGET))

mutants: setup  ## Plant a sample of faults and see the tests notice; N=300 SEED=0, goes on where it was
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants --n $(or $(N),300) --seed $(or $(SEED),0)

test-faults: setup  ## Kill, fill up, damage and disturb every stage, in about five minutes; tables go to build/faults
	rm -rf build/faults
	$(BIN)/python -m pytest -m faults -n 2 --dist loadfile tests/faults
	$(BIN)/python -m tests.faults

test-gpu: setup  ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: setup  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ingest train extract classify index knn: setup  ## Run a stage on imageclef.toml, or on CONFIG=FILE
	$(RUN) $@ $(FLAGS)

serve: setup  ## Serve the similarity page of imageclef.toml, or of CONFIG=FILE, at http://127.0.0.1:8000
	$(RUN) serve $(FLAGS)

bench-service: setup  ## Measure the service that is running; IMAGES=FOLDER of images to upload
	$(BIN)/python pipelines/bench_service.py $(IMAGES)

uapt-2018: setup  ## Make the nine runs of 2018; IMAGES=FOLDER holds train, valid and their lists
	$(BIN)/python pipelines/uapt_2018.py $(IMAGES) --preset $(or $(PRESET),small)

bench-threads: setup  ## Measure training and extraction beside another busy process
	$(BIN)/python pipelines/bench_threads.py

bench: setup  ## Measure solver, rules and ingest, side by side with others; IMAGES=FOLDER of real images
	$(BIN)/python pipelines/bench_logistic.py
	$(BIN)/python pipelines/bench_logistic.py --preset large --tolerance 1e-3 1e-5 --tol 1e-4
	$(BIN)/python pipelines/bench_logistic.py --preset mapped
	$(BIN)/python pipelines/bench_rules.py
	$(if $(IMAGES),$(BIN)/python pipelines/bench_ingest.py $(IMAGES))

lock: setup  ## Write requirements.lock anew
	echo 'torch==2.10.0' | $(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --constraint - --output-file requirements.lock --quiet

clean:  ## Remove .venv
	rm -rf .venv
