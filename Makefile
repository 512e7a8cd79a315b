# Every target starts from nothing and skips what is done. `make help` lists them.

VENV ?= .venv
ifeq ($(strip $(VENV)),)
override VENV := .venv
endif
export VENV

# Least line coverage of tavid_core and tavid_ros, percent.
COVERAGE_MIN ?= 85

# Arguments for pytest instead of the whole suite, e.g. PYTEST_ARGS="tests/core -k mask"
PYTEST_ARGS ?=

# Test processes side by side, each with a ROS domain of its own. 0 = pytest alone.
TEST_WORKERS ?= 2

# The user's words reach the demo as environment variables, so neither make nor a shell ever reads
# them. Only the command line counts: IMAGE is a common name in build machines' environments.
ifeq ($(origin IMAGE),command line)
export TAVID_DEMO_IMAGE := $(value IMAGE)
endif
ifeq ($(origin MASK),command line)
export TAVID_DEMO_MASK := $(value MASK)
endif
ifeq ($(origin PROMPT),command line)
export TAVID_DEMO_PROMPT := $(value PROMPT)
endif
ifeq ($(origin SCENE),command line)
export TAVID_DEMO_SCENE := $(value SCENE)
endif
ifeq ($(origin OUT),command line)
export TAVID_DEMO_OUT := $(value OUT)
endif
ifeq ($(origin SIZE),command line)
export TAVID_DEMO_SIZE := $(value SIZE)
endif

# Or make itself would expand a `$(...)` in them when it hands its variables on.
unexport IMAGE MASK PROMPT SCENE OUT SIZE
MAKEOVERRIDES :=

# Files in the order of tests/conftest.py, the slow ones first.
BY_FILE := --dist=loadfile --no-loadscope-reorder

PY := "$(VENV)/bin/python"
RUN := $(PY) tools/ros_env.py

.DEFAULT_GOAL := help
.PHONY: help demo bag-demo test coverage lint format env build colcon results results-rerun clean distclean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

demo: build ## Plan one interaction over real ROS 2: SCENE=..., or IMAGE=... MASK=... PROMPT=...; OUT=...
	@$(RUN) python -m tavid_ros.demo

bag-demo: build ## Record a bag, learn from it, plan with what was learnt: SIZE=full for real numbers; OUT=...
	@sh tools/system_packages.sh libosmesa6
	@$(RUN) python -m benchmarks.bag_demo

test: ## Run all tests (PYTEST_ARGS=...)
coverage: ## Run all tests and check the coverage, which takes a third longer (COVERAGE_MIN=...)
coverage: FIRST_COVERAGE := --cov --cov-report=
coverage: REPORT := --cov-report=term --cov-fail-under=$(COVERAGE_MIN)
coverage: LAST_COVERAGE = --cov --cov-append $(REPORT)
coverage: ONLY_COVERAGE = --cov $(REPORT)
# Nodes wait for each other half of the time: three processes share two cores. Traced, they would be late.
test: ROS_WORKERS = $(patsubst 2,3,$(TEST_WORKERS))
coverage: ROS_WORKERS = $(TEST_WORKERS)
test coverage: build
	@sh tools/system_packages.sh
ifeq ($(strip $(PYTEST_ARGS)),)
	@$(RUN) python -m pytest --numprocesses=$(TEST_WORKERS) $(BY_FILE) --ignore=tests/ros \
		$(FIRST_COVERAGE) --durations=10
	@$(RUN) python -m pytest --numprocesses=$(ROS_WORKERS) $(BY_FILE) tests/ros \
		$(LAST_COVERAGE) --durations=15
else
	@$(RUN) python -m pytest $(ONLY_COVERAGE) $(PYTEST_ARGS)
endif

lint: env ## Check style, docstrings and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: env ## Repair what can be repaired
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

env: ## Make the virtual environment with every pinned package
	@sh tools/setup.sh

build: env ## Build the ROS package with colcon inside the virtual environment
	@_ROS_WHEELS_BOOTSTRAP_COMPLETE=1 $(PY) tools/build_ros.py

colcon: env ## Build and test as a ROS workspace does: colcon build, colcon test, colcon test-result
	@_ROS_WHEELS_BOOTSTRAP_COMPLETE=1 $(PY) tools/build_ros.py --test

results: env ## Make docs/results.md and its plots again from the log of measured rows
	@$(PY) -m training.results

results-rerun: build ## Train and measure every row again, into runs/results (DEVICE=...; many hours; goes on)
	@sh tools/system_packages.sh
	@sh tools/results.sh

clean: ## Remove what was built and every cache; keep the virtual environment
	@rm -rf "$(VENV)/ros" build install log dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@rm -f .coverage .coverage.* coverage.xml
	@find . -name __pycache__ -type d -not -path './.*/*' -prune -exec rm -rf {} +

distclean: clean ## Remove the virtual environment too
	@rm -rf "$(VENV)"
