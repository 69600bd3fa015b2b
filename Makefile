# What CI and people run. `make dev` once, then `make check`.
PYTHON ?= python3
BIN = .venv/bin/

.PHONY: dev check test lint asan bench results

.venv:
	$(PYTHON) -m venv .venv

dev: .venv
	$(BIN)pip install '.[test]' ruff mypy

check: lint test

test:
	$(BIN)python -m pytest

lint:
	$(BIN)ruff check .
	$(BIN)ruff format --check .
	$(BIN)mypy src

asan:
	$(PYTHON) -m venv .venv-asan
	.venv-asan/bin/pip install -C cmake.define.FEMTOSEARCH_ASAN=ON . pytest
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
		.venv-asan/bin/python -m pytest tests/test_core.py tests/test_codes.py tests/test_encoder.py tests/test_maxsim.py \
		tests/fde

bench: # FEMTOSEARCH_DATA names a BEIR folder
	$(BIN)python -m benchmarks encode
	$(BIN)python -m benchmarks search
	$(BIN)python -m benchmarks kernels

results: # cards and docs/results.md, of the BEIR folders in the folder that FEMTOSEARCH_COLLECTIONS names
	$(BIN)python -m benchmarks results "$$FEMTOSEARCH_COLLECTIONS"/*/
