# `make setup` is a chain of stages, each with a stamp in $(VENV). A finished
# stage is not repeated, an interrupted one is resumed. A changed requirements
# file repeats its stage and the later ones.
#
#   PYTHON=/path/to/python3.11   the Python that creates the environment
#   PIP_ARGS="..."               further arguments of every `pip install`
#   VENV=.venv                   where the environment is

.DELETE_ON_ERROR:
.PHONY: help setup demo test lint docs mutants clean

VENV ?= .venv
PYTHON ?=
PIP_ARGS ?=

python := $(VENV)/bin/python
pip_install := $(python) -m pip install --disable-pip-version-check $(PIP_ARGS)
mmcv_is_there := 'import importlib.util as i; exit(not i.find_spec("mmcv"))'
is_python312 := 'import sys; exit(sys.version_info[:2] != (3, 12))'
stamps := $(VENV)/stamps

help:
	@echo 'make setup    create or update the environment in $(VENV)'
	@echo 'make demo     train, test and draw on synthetic people, in minutes'
	@echo 'make test     run the tests, except slow ones and those for a GPU'
	@echo 'make lint     check style, spelling and types'
	@echo 'make docs     build the documentation into site/'
	@echo 'make mutants  edit the core modules and tell which edits no test notices'
	@echo 'make clean    remove caches and build files, but not $(VENV)'
	@echo
	@echo 'Options: PYTHON=/path/to/python3.11 PIP_ARGS="..." VENV=$(VENV)'

setup: $(stamps)/package

demo: setup
	$(python) tools/demo.py

test: setup
	$(python) -m pytest tests -n auto --dist worksteal -m 'not slow and not gpu'

lint: setup
	$(python) -m ruff check .
	$(python) -m isort --check-only --diff .
	$(python) -m codespell_lib
	$(python) -m mypy

docs: $(stamps)/docs
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict
	@echo 'Open site/index.html; for its search: python -m http.server -d site'

# Hours for all core modules; MODULES='mmpose_ssa.models.losses*' for one
mutants: setup
	$(pip_install) -r requirements/mutants.txt
	$(python) -m mutmut run $(MODULES)
	$(python) -m mutmut results | grep -v 'not checked'

clean:
	rm -rf build dist mutants site *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path '*/.venv/*' -prune -exec rm -rf {} +

$(stamps)/environment: tools/find_python.sh
	@base=$$(PYTHON='$(PYTHON)' tools/find_python.sh) && \
	    echo "Making $(VENV) with $$base" && "$$base" -m venv $(VENV)
	@PYTHON=$(python) tools/find_python.sh > /dev/null || { \
	    echo 'Remove $(VENV), which an unsuitable Python made.' >&2; exit 1; }
	@mkdir -p $(stamps)
	@touch $@

# On Python 3.12 there is no wheel of xtcocotools: it is built, against the
# oldest NumPy 2, and then works with all of them.
$(stamps)/runtime: requirements/runtime.txt requirements/build_py312.txt \
		$(stamps)/environment
	if $(python) -c $(is_python312); then \
	    $(pip_install) -r requirements/build_py312.txt && \
	    $(pip_install) --no-deps --no-build-isolation xtcocotools==1.14.3; fi
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

$(stamps)/package: setup.cfg pyproject.toml setup.py tools/link_mim.py \
		$(stamps)/test
	$(pip_install) --no-deps --no-build-isolation \
	    --config-settings editable_mode=compat -e .
	$(python) tools/link_mim.py
	@# On its first import yapf, which MMEngine imports, writes a file that a
	@# second process would read half written: workers of tests and of training
	$(python) -c 'import yapf'
	@touch $@

$(stamps)/docs: requirements/docs.txt $(stamps)/package
	$(pip_install) -r $<
	@touch $@
