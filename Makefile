# What CI and people run. `make dev` once, then `make check`.
PYTHON ?= python3
BIN = .venv/bin/

.PHONY: dev check test lint asan bench

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

asan: .venv
	sh tests/asan.sh $(BIN)

bench:
	$(BIN)python -m benchmarks encode
	$(BIN)python -m benchmarks search
	$(BIN)python -m benchmarks quality
