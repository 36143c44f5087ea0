# Two commands: `make lab` opens the lessons, `make test` tests everything. `make` alone lists the rest.

PY := .venv/bin/python
# Where TORCH=cpu finds torch's CPU builds: the index that binder/ takes them from
TORCH_INDEX := $(shell sed -n 's/^--extra-index-url //p' binder/requirements.txt)
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/nbval_sanitize.cfg

export PYTHON TORCH TORCH_INDEX PINS

.PHONY: help lab test lint unit lessons notebooks badges site draw teaching slides lock dist venv clean
.DEFAULT_GOAL := help

help:
	@echo "make lab        open the lessons in JupyterLab (the first time: make .venv and install what the lock pins)"
	@echo "make test       lint, unit tests, then every notebook from top to bottom, its checked outputs compared"
	@echo "make notebooks  run the notebooks again and save them with their outputs; some only: ONLY=\"start_here 04\""
	@echo "make badges     write what is generated in notebooks and README (numbers, links, times), and run nothing"
	@echo "make site       build the website into site/_build/html, from what the notebooks saved; runs nothing, needs npm"
	@echo "make draw       put the weights beside the website's live figure, site/draw/, to see it alone"
	@echo "make teaching   write the teachers' kit into build/teaching/: notes, plans, a sheet, the quizzes for Moodle"
	@echo "make slides     write slides of every lesson into build/slides/; some only: ONLY=\"start_here 04\""
	@echo "make lock       resolve the dependencies again; newest versions: UPGRADE=1"
	@echo "make dist       build the source distribution and the wheel into dist/, if what they hold is as it should be"
	@echo "make clean      delete .venv and the caches"
	@echo
	@echo "TORCH=cpu       with the first 'make lab' or 'make test': torch's small CPU build instead of the CUDA build"
	@echo "PYTHON=NAME     with the same: the Python to build .venv on, 3.11 or newer"
	@echo "LAB=\"...\"       with 'make lab': more options for JupyterLab, for example LAB=\"--port=9000 --ip=0.0.0.0\""

# Returns at once if .venv is what the lock, pyproject.toml and this folder ask for.
venv:
	@sh tools/install.sh

# With no screen there is no browser to open: JupyterLab prints the address instead.
lab: venv
	@$(PY) tools/settle.py
	@test -n "$$DISPLAY$$WAYLAND_DISPLAY" -o "$$(uname)" = Darwin || blind=--no-browser; \
	echo "JupyterLab is starting. Ctrl-C here ends it."; \
	exec $(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
		-y --allow-root --Application.log_level=WARN --LanguageServerManager.autodetect=False $$blind $(LAB)

test: lint unit lessons

lint: venv
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

unit: venv
	$(PY) -m pytest tests

# One after the other: a lesson that trains wants all the cores.
lessons: venv
	$(PY) -m pytest $(NBVAL) notebooks

notebooks: venv
	$(PY) tools/notebooks.py $(ONLY)

badges: venv
	$(PY) tools/notebooks.py --no-run

# Both take MathJax and reveal.js from npm once, by their lock in tools/slides/; the pages fetch nothing.
teaching: venv
	$(PY) tools/teaching.py

slides: venv
	$(PY) tools/slides.py $(ONLY)

site: venv
	$(PY) tools/website.py

# What `make site` does for the figure alone; then serve site/draw/ with `python -m http.server`.
draw: venv
	$(PY) tools/draw_weights.py

lock: venv
	@$(PY) -m uv --version >/dev/null 2>&1 || $(PY) -m pip install --quiet uv
	$(PY) tools/lock.py $(if $(UPGRADE),--upgrade)

dist: venv
	$(PY) -m pytest tests/test_dist.py
	$(PY) tools/dist.py

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache build dist *.egg-info site/_build site/node_modules
	find diffusion_tutorial tests tools notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
