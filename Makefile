# The commands people type. `make help` lists them.
SCALE ?= demo
CORES ?= all
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
EXTRAS = workflow,dvc
# The folder is asked of the shell: a path may have $$, quotes or backticks.
EXPORTED := export PATH="$$PWD/$(BIN):$$PATH" &&

.DEFAULT_GOAL := help
.PHONY: help install reproduce record unlock test check bench format docs rulegraph publish restore site clean

# A virtual environment is bound to its folder: in a copied or moved project it is made anew, so that
# a copy never runs the original's source. The marker holds the folder it was made in; without one the
# environment is yours (with a PyTorch of your choice, say), and what is missing is added.
MADE_IN := $(shell cat $(BIN)/.installed 2>/dev/null)
ifneq ($(MADE_IN),)
ifneq ($(MADE_IN),$(CURDIR))
ELSEWHERE := .elsewhere
endif
endif
.elsewhere:
	rm -rf $(VENV)

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/.installed: pyproject.toml constraints.txt $(ELSEWHERE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; run make PYTHON=python3.11" >&2; exit 1; }
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[$(EXTRAS)]"
	@echo "$(EXTRAS)" > $(BIN)/.extras
	@pwd -P > $@

$(BIN)/.tested: EXTRAS = workflow,dvc,tensorboard,docs,test
$(BIN)/.tested: $(BIN)/.installed
	grep -qsx "$(EXTRAS)" $(BIN)/.extras || $(INSTALL) -e ".[$(EXTRAS)]"
	# spandrel without the torchvision that it asks for and that does not load beside a torch for CPUs
	# (docs/external.md); of the last nothing but axe-core, which tests load into Chromium: no browsers.
	$(INSTALL) --no-deps spandrel einops axe-playwright-python
	touch $@

install: $(BIN)/.installed  ## Create .venv with the package and the workflow

reproduce: $(BIN)/.installed  ## Run the whole study (SCALE=demo, hour or paper; CONFIG=mirror=FOLDER)
	@$(EXPORTED) snakemake --cores $(CORES) --config scale=$(SCALE) $(CONFIG) || { status=$$?; \
	  ! ls .snakemake/locks/* > /dev/null 2>&1 || echo "error: the folder is locked; if no other snakemake runs in it, one was killed: make unlock, then try again" >&2; \
	  exit $$status; }
	@echo "tables: results/$(SCALE), figures: figures/$(SCALE); next: source $(VENV)/bin/activate, then a comparison of your own: snakemake --cores all --config study=mine (README.md)"

RECORD ?= cpu/record cpu/record_rrdb cpu/record_places cpu/record_single cpu/record_regularisers cpu/record_rivals cpu_no_usm/record_gain cpu_tasks/record_tasks
# What is committed may be newer than the runs made here: tables and figures are always made again.
AGAIN := make_table make_figure test_claims
SHIPPED := srresnet/multi/last_conv-channel-p0.7/seed0
record: $(BIN)/.installed  ## Make the results that docs/results.md shows (hours; RECORD=cpu/record, CONFIG=mirror=FOLDER)
	@$(EXPORTED) for one in $(RECORD); do \
	  snakemake --cores $(CORES) --forcerun $(AGAIN) --config scale=$${one%/*} study=$${one#*/} $(CONFIG) || exit 1; \
	  ! test -d results/$$one/runs || reflash runs --results results/$$one --against results/$$one; \
	  reflash store keep --results results/$$one || exit 1; done
ifneq ($(filter cpu/record,$(RECORD)),)
	@$(EXPORTED) for run in srresnet/multi/none/seed0 $(SHIPPED); do \
	  reflash convert results/cpu/runs/$$run/params.safetensors results/cpu/record/runs/$$run/half.safetensors --half || exit 1; done
	@cp results/cpu/record/runs/$(SHIPPED)/half.safetensors src/reflash/evaluation/weights/upscale.safetensors
endif
	@$(EXPORTED) reflash findings README.md && reflash findings docs/results.md

unlock: $(BIN)/.installed  ## Remove the lock that a killed snakemake left in this folder
	@$(EXPORTED) snakemake --unlock --config scale=$(SCALE) $(CONFIG)

# More workers than processors: tests of DVC and Slurm wait a good deal.
test: $(BIN)/.tested  ## Run the tests
	@$(EXPORTED) pytest -n 3 --dist loadgroup --no-loadscope-reorder

check: $(BIN)/.tested  ## Lint, types, formatting, spelling, workflow
	@$(EXPORTED) { mypy & types=$$!; \
	  ruff check . && codespell && ruff format --check . && snakemake --list-rules > /dev/null && snakefmt --check Snakefile workflow \
	  && { snakemake --lint > .snakemake/lint.log 2>&1; grep -q 'Lints for rule' .snakemake/lint.log; } \
	  && ! grep '^    \* ' .snakemake/lint.log | grep -v 'Specify a conda environment or container'; \
	  others=$$?; wait $$types && exit $$others; }

$(BIN)/.site: $(BIN)/.installed
	$(INSTALL) -e ".[docs]"
	touch $@

site: $(BIN)/.site  ## Build the documentation in build/site, links checked
	@$(EXPORTED) NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "site: $$PWD/build/site/index.html"

bench: $(BIN)/.installed  ## Measure speed and memory, and write the tables of docs/performance.md
	@$(EXPORTED) reflash bench

format: $(BIN)/.tested  ## Format the code
	@$(EXPORTED) ruff check --fix . ; ruff format . ; snakefmt Snakefile workflow

docs: $(BIN)/.installed  ## Write the generated parts of config/ again
	@$(EXPORTED) reflash config schema > config/schema.json && reflash config readme > config/README.md

# Files that the paper's study does without, whose rules are drawn as well.
rulegraph: OTHERS = data/weights/RealESRNet_x4plus.safetensors results/hour/runs/bicubic/analysis/seal.csv data/hour/test/Set5/images-denoise.csv
rulegraph: $(BIN)/.installed  ## Draw the rules of the workflow (needs graphviz)
	@$(EXPORTED) snakemake all $(OTHERS) --forceall --rulegraph --config scale=hour accept_terms=true 2> /dev/null | tred | dot -Tsvg > docs/images/rulegraph.svg

publish: $(BIN)/.installed  ## Store the finished results of SCALE with DVC (and push them)
	@$(EXPORTED) reflash store publish --scale $(SCALE)

restore: $(BIN)/.installed  ## Bring back stored results of SCALE instead of training
	@$(EXPORTED) reflash store restore --scale $(SCALE)

clean:  ## Remove everything that was made at SCALE (results of record too: git checkout results figures)
	@test -f "config/scale/$(SCALE).yaml" || { echo "error: SCALE=$(SCALE): no such scale" >&2; exit 1; }
	rm -rf "data/$(SCALE)" "results/$(SCALE)" "figures/$(SCALE)"
