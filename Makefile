# The project's one door for set-up and checks; `make help` lists what is behind it.
#
# Needs python3 (3.11 or newer) and make, nothing else. Every path is relative: the project may stand in a folder with
# spaces in its name. Stamps in the virtual environments let a second run start at once and a changed lock reinstall.

PYTHON ?= python3
PY := .venv/bin/python

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

# pip keeps the caller's indexes, certificates and proxies; what would put packages elsewhere does not come in.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_DEPS PIP_DRY_RUN PIP_REQUIRE_HASHES
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV __PYVENV_LAUNCHER__

ifeq ($(wildcard requirements/run.lock),)
$(error Run make in the project's folder, or as: make -C FOLDER)
endif

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

# ---- to try it

# In a state folder of its own, so that a cluster of yours is not touched.
.PHONY: demo
demo: .venv/run.stamp ## Start three replicas, call them 100 times, show how the calls spread, stop them.
	@for name in $$(env | sed -n 's/^\(LBDEMO_[A-Z_]*\)=.*/\1/p'); do unset "$$name"; done; \
	LBDEMO_STATE_DIR=$$(mktemp -d "$${TMPDIR:-/tmp}/lbdemo.XXXXXX"); export LBDEMO_STATE_DIR; \
	lbdemo() { printf '\n$$ lbdemo %s\n' "$$*"; $(PY) -m lb_client.cli "$$@"; }; \
	end() { $(PY) -m lb_client.cli down >/dev/null 2>&1 || true; rm -rf "$$LBDEMO_STATE_DIR"; }; \
	trap end EXIT; trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 141' PIPE; trap 'exit 143' TERM; \
	lbdemo up --replicas 3; lbdemo call --count 100; lbdemo down

.PHONY: setup
setup: .venv/run.stamp ## Only make the virtual environment: then .venv/bin/lbdemo is there.

# ---- to check it

# Tests wait more than they work: one process more than there are cores, four at most.
at_once = --dist worksteal --numprocesses \
  $(or $(JOBS),$$(python3 -c 'import os; print(min(4, 1 + len(os.sched_getaffinity(0))))'))

.PHONY: test
test: lint types proto-check ## Every check: format, lint, types, code, tests, the docs' commands (JOBS=1: one at a time).
	@$(PY) -m pytest $(at_once)

.PHONY: lint
lint: .venv/dev.stamp ## Format and lint rules.
	@$(PY) -m ruff format --check --quiet . || { echo "Some files are not formatted: make format" >&2; exit 1; }
	@$(PY) -m ruff check --quiet .

.PHONY: format
format: .venv/dev.stamp ## Format the code and mend what ruff can mend.
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format .

.PHONY: types
types: .venv/dev.stamp ## mypy, strict, over the packages and the tests.
	@$(PY) -m mypy

.PHONY: unit integration e2e
unit integration e2e: .venv/dev.stamp
	@$(PY) -m pytest tests/$@
unit: ## Tests without sockets and sleeps, in seconds.
integration: ## Tests with real gRPC in one process.
e2e: ## Tests with processes, the command, the wheel, the docs and other languages' clients.

.PHONY: bench
bench: .venv/dev.stamp ## Speed and memory, each figure with its inputs (BENCH="--quick calls": less of it).
	@$(PY) -m tests.benchmarks $(BENCH)

.PHONY: soak
soak: .venv/dev.stamp ## Ten minutes of random faults while calls run (SOAK="--minutes 1 --seed 7": others, the same again).
	@$(PY) -m tests.soak $(SOAK)

.PHONY: peers
peers: .venv/dev.stamp ## Bring the programs of others that tests talk to (Node's gRPC).
	@$(PY) -m tests.support.peers

.PHONY: scenarios
scenarios: .venv/run.stamp ## Play every scenario that comes with lbdemo, gRPC's interop tests among them (minutes).
	@$(PY) -m lb_client.cli run --all

.PHONY: compose-check
compose-check: .venv/run.stamp ## Run compose.yaml for real with podman (root on Debian; slow).
	@tools/compose-check.sh

.PHONY: test-floor
test-floor: .venv-floor/stamp ## The tests with the oldest versions of everything that the project supports.
	@.venv-floor/bin/python -m pytest $(at_once)

# ---- to change it

# The generator is the oldest one supported: what it writes asks for a gRPC and a protobuf at least as new as itself.
generate = PATH=".venv-proto/bin:$$PATH" .venv-proto/bin/python -m grpc_tools.protoc -I. \
	--python_out="$(1)" --pyi_out="$(1)" --grpc_python_out="$(1)" --mypy_grpc_out="quiet:$(1)" protos/*.proto

.PHONY: proto
proto: .venv-proto/stamp ## Generate protos/*_pb2* again.
	@rm -f protos/*_pb2.py protos/*_pb2.pyi protos/*_pb2_grpc.py protos/*_pb2_grpc.pyi
	@$(call generate,.)

.PHONY: proto-check
proto-check: .venv-proto/stamp ## Fail when the committed generated code is stale.
	@new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; $(call generate,$$new); \
	for file in protos/*_pb2*.py* "$$new"/protos/*_pb2*.py*; do diff -u -N "protos/$${file##*/}" "$$new/protos/$${file##*/}" || stale=1; done; \
	[ -z "$${stale-}" ] || { echo "The code in protos/ is not what the .proto files say: make proto" >&2; exit 1; }

# uv comes in a virtual environment that is thrown away. No index is written into a lock. The floor is the oldest of what
# the project itself asks for, under the newest tools.
.PHONY: lock
lock: ## Resolve requirements/*.lock again (with UPGRADE=--upgrade: the newest of everything).
	@tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	"$(PYTHON)" -m venv "$$tools"; "$$tools/bin/python" -m pip install --quiet --quiet --disable-pip-version-check uv; \
	compile() { "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate "$$@"; }; \
	compile pyproject.toml $(UPGRADE) --group build -o requirements/run.lock; \
	compile pyproject.toml $(UPGRADE) --group dev -c requirements/run.lock -o requirements/dev.lock; \
	compile $(UPGRADE) --group proto -o requirements/proto.lock; \
	compile $(UPGRADE) --group compose -o requirements/compose.lock; \
	compile pyproject.toml --resolution lowest-direct -o "$$tools/floor"; \
	compile pyproject.toml $(UPGRADE) --group dev -c "$$tools/floor" -o requirements/floor.lock

.PHONY: wheel
wheel: .venv/run.stamp ## Build the wheel into dist/.
	@$(PY) -m hatchling build -t wheel

.PHONY: clean
clean: ## Remove everything that make made.
	rm -rf .venv .venv-* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/peers/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- virtual environments

.PHONY: FORCE
FORCE:

# A virtual environment knows its own place: one that was moved, or lost its Python, is made again.
whole = $(shell test -x $(1)/bin/python && test "$$(cat $(1)/made-at 2>/dev/null)" = "$$(cd $(1) && pwd -P)" && echo yes)
$(foreach env,.venv .venv-proto .venv-floor,$(if $(call whole,$(env)),,$(eval $(env)/made-at: FORCE)))

%/made-at:
	@command -v "$(PYTHON)" >/dev/null \
	|| { echo "lbdemo needs Python 3.11 or newer, and $(PYTHON) is not here." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { printf '%s\n' >&2 \
	"lbdemo needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). With another one: make PYTHON=python3.13"; \
	exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { printf '%s\n' >&2 \
	"$(PYTHON) cannot make virtual environments: install its venv module (Debian and Ubuntu: apt install python3-venv)."; \
	exit 1; }
	@rm -rf $(@D)
	@"$(PYTHON)" -m venv $(@D)
	@(cd $(@D) && pwd -P) > $@

install = .venv$(1)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --progress-bar off
editable = --no-deps --no-build-isolation --editable .
told = { echo "Could not install from $(1): see above." >&2; exit 1; }

.venv/run.stamp: .venv/made-at requirements/run.lock pyproject.toml lb_client/_version.py
	@echo "Setting up .venv from requirements/run.lock (once) ..."
	@$(call install) --require-hashes -r requirements/run.lock || $(call told,requirements/run.lock)
	@$(call install) $(editable)
	@touch $@

.venv/dev.stamp: .venv/made-at requirements/dev.lock pyproject.toml lb_client/_version.py
	@echo "Setting up .venv from requirements/dev.lock (once) ..."
	@$(call install) --require-hashes -r requirements/dev.lock || $(call told,requirements/dev.lock)
	@$(call install) $(editable)
	@touch .venv/run.stamp $@

.venv-proto/stamp: .venv-proto/made-at requirements/proto.lock
	@echo "Setting up .venv-proto from requirements/proto.lock (once) ..."
	@$(call install,-proto) --require-hashes -r requirements/proto.lock || $(call told,requirements/proto.lock)
	@touch $@

.venv-floor/stamp: .venv-floor/made-at requirements/floor.lock pyproject.toml
	@echo "Setting up .venv-floor from requirements/floor.lock (once) ..."
	@$(call install,-floor) --require-hashes -r requirements/floor.lock || $(call told,requirements/floor.lock)
	@$(call install,-floor) $(editable)
	@touch $@
