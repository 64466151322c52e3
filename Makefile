# Set-up is a chain of stages, each with a stamp in $(VENV): what is done is not
# done again, what was interrupted is taken up where it stopped, and a changed
# requirements file repeats its stage and those after it.
#
#   PYTHON=/path/to/python3.11   the Python that makes the environment
#   PIP_ARGS="..."               further arguments of every pip install
#   VENV=.venv                   where the environment is

.DELETE_ON_ERROR:
.PHONY: help setup demo test lint clean

VENV ?= .venv
PYTHON ?=
PIP_ARGS ?=

python := $(VENV)/bin/python
pip_install := $(python) -m pip install --disable-pip-version-check $(PIP_ARGS)
mmcv_is_there := 'import importlib.util as i; exit(not i.find_spec("mmcv"))'
stamps := $(VENV)/stamps

help:
	@echo 'make setup   the environment $(VENV), if it is missing or outdated'
	@echo 'make demo    draws a data set, trains on it, tests and shows pictures'
	@echo 'make test    the tests, without slow ones and those for a GPU'
	@echo 'make lint    ruff and isort'
	@echo 'make clean   removes caches and build files, not $(VENV)'

setup: $(stamps)/package

demo: setup
	$(python) tools/demo.py

test: setup
	$(python) -m pytest tests -m 'not slow and not gpu'

lint: setup
	$(python) -m ruff check .
	$(python) -m isort --check-only --diff .

clean:
	rm -rf build dist mutants *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path '*/.venv/*' -prune -exec rm -rf {} +

$(stamps)/environment: tools/find_python.sh
	@base=$$(PYTHON='$(PYTHON)' tools/find_python.sh) && \
	    echo "Making $(VENV) with $$base" && "$$base" -m venv $(VENV)
	@PYTHON=$(python) tools/find_python.sh > /dev/null || { \
	    echo 'Remove $(VENV), which an unsuitable Python made.' >&2; exit 1; }
	@mkdir -p $(stamps)
	@touch $@

$(stamps)/runtime: requirements/runtime.txt $(stamps)/environment
	$(pip_install) -r $<
	@touch $@

$(stamps)/mmpose: requirements/mmpose.txt requirements/mmcv.txt \
		$(stamps)/runtime
	$(pip_install) --no-deps -r requirements/mmpose.txt
	$(python) -c $(mmcv_is_there) \
	    || $(pip_install) --no-deps -r requirements/mmcv.txt
	@touch $@

$(stamps)/test: requirements/test.txt $(stamps)/mmpose
	$(pip_install) -r $<
	@touch $@

$(stamps)/package: setup.cfg pyproject.toml $(stamps)/test
	$(pip_install) --no-deps --no-build-isolation -e .
	@touch $@

# Hours for all core modules; MODULES='mmpose_ssa.models.losses*' for one
.PHONY: mutants
mutants: setup
	$(pip_install) -r requirements/mutants.txt
	$(python) -m mutmut run $(MODULES)
	$(python) -m mutmut results | grep -v 'not checked'
