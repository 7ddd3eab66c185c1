# The commands people type. `make help` lists them.
SCALE ?= demo
CORES ?= all
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXPORTED := export PATH="$(CURDIR)/$(BIN):$$PATH" &&

.DEFAULT_GOAL := help
.PHONY: help install reproduce test check bench format docs publish restore clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; run make PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[workflow,dvc]"
	touch $@

$(BIN)/.tested: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[workflow,dvc,tensorboard,test]"
	touch $@

install: $(BIN)/.installed  ## Create .venv with the package and the workflow

reproduce: $(BIN)/.installed  ## Run the whole study (SCALE=demo, hour or paper; CONFIG=mirror=FOLDER)
	@$(EXPORTED) snakemake --cores $(CORES) --config scale=$(SCALE) $(CONFIG) && echo "tables: results/$(SCALE), figures: figures/$(SCALE)"

test: $(BIN)/.tested  ## Run the tests
	@$(EXPORTED) pytest -n 2 --dist loadgroup

check: $(BIN)/.tested  ## Lint, types, formatting, workflow
	@$(EXPORTED) ruff check . && ruff format --check . && mypy && snakemake --list-rules > /dev/null && snakefmt --check Snakefile workflow \
	  && { snakemake --lint > .snakemake/lint.log 2>&1; grep -q 'Lints for rule' .snakemake/lint.log; } \
	  && ! grep '^    \* ' .snakemake/lint.log | grep -v 'Specify a conda environment or container'

bench: $(BIN)/.installed  ## Measure speed and memory, and write the tables of docs/performance.md
	@$(EXPORTED) reflash bench

format: $(BIN)/.tested  ## Format the code
	@$(EXPORTED) ruff check --fix . ; ruff format . ; snakefmt Snakefile workflow

docs: $(BIN)/.installed  ## Write the generated parts of config/ again
	@$(EXPORTED) reflash config schema > config/schema.json && reflash config readme > config/README.md

publish: $(BIN)/.installed  ## Store the finished results of SCALE with DVC (and push them)
	@$(EXPORTED) reflash store publish --scale $(SCALE)

restore: $(BIN)/.installed  ## Bring back stored results of SCALE instead of training
	@$(EXPORTED) reflash store restore --scale $(SCALE)

clean:  ## Remove everything that was made at SCALE
	@test -f "config/scale/$(SCALE).yaml" || { echo "error: SCALE=$(SCALE): no such scale" >&2; exit 1; }
	rm -rf "data/$(SCALE)" "results/$(SCALE)" "figures/$(SCALE)"
