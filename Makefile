# What people and CI run. `make dev` once; then edit, `make test`, and before a change is sent `make check`.
PYTHON ?= python3
BIN = .venv/bin/
EXTRAS = test,docs,dev
BUILD = 'scikit-build-core>=0.10' 'nanobind>=2.4' 'cmake>=3.18' ninja
FDE_PAIRS = $(patsubst %,$(DATA)/%.jsonl.xz,squad_train enwiki_sections nq_qed arxiv_cs arxiv_bio_stat_econ \
  arxiv_math arxiv_physics evidence_inference_title scitldr covid_qa)
WEIGHT_PAIRS = $(filter-out %/arxiv_math.jsonl.xz,$(FDE_PAIRS)) \
  $(patsubst %,$(DATA)/%.jsonl.xz,pubmedqa_l stackexchange_coffee_beer)
EXCLUDED = "$$FEMTOSEARCH_COLLECTIONS"/*/corpus.jsonl "$$FEMTOSEARCH_COLLECTIONS"/*/queries.jsonl
ALL_CORES = -n auto --dist worksteal
CPP = $(shell find native -name '*.cc' -o -name '*.h')
NATIVE = CMakeLists.txt pyproject.toml $(shell find native -type f)

.PHONY: systems web release integrations dev dev-all test test-all check lint format types docs asan spills arm bench results fde \
  weights torture fuzz

dev: .venv/built

dev-all:
	$(MAKE) --always-make .venv/built EXTRAS=test-all,docs,dev

# An editable install: Python files are used where they lie. A newer file of the native core is compiled first.
.venv/built: $(NATIVE)
	test -x $(BIN)python || $(PYTHON) -m venv .venv
	$(BIN)pip install --quiet $(BUILD)
	$(BIN)pip install --quiet --no-build-isolation --editable '.[$(EXTRAS)]'
	touch $@

test: .venv/built
	OMP_NUM_THREADS=1 $(BIN)python -m pytest -m "not slow" $(ALL_CORES)

test-all: .venv/built # PASSED names a file of tests that passed before, which are left out
	OMP_NUM_THREADS=1 $(BIN)python -m pytest $(ALL_CORES) $(if $(PASSED),--passed=$(PASSED))

check: lint types docs test-all asan spills

lint: .venv/built
	$(BIN)ruff check .
	$(BIN)ruff format --check .
	$(BIN)clang-format --dry-run --Werror $(CPP)

format: .venv/built
	$(BIN)ruff check --fix .
	$(BIN)ruff format .
	$(BIN)clang-format -i $(CPP)

types: .venv/built
	$(BIN)mypy src benchmarks
	$(BIN)mypy --cache-dir .mypy_cache/win32 --platform win32 src

docs: .venv/built
	$(BIN)mkdocs build --strict --quiet

asan: # the tests of the native core, under the sanitisers of addresses and of undefined behaviour
	$(PYTHON) -m venv .venv-asan
	.venv-asan/bin/pip install --quiet -C cmake.define.FEMTOSEARCH_SANITISE=ON . pytest pytest-xdist tokenizers
	LD_PRELOAD="$(foreach name,asan ubsan stdc++,$(shell g++ -print-file-name=lib$(name).so))" \
		ASAN_OPTIONS=detect_leaks=0 .venv-asan/bin/python -m pytest $(ALL_CORES) -m "not slow" tests/test_core.py tests/test_codes.py \
		tests/model/test_encoder.py tests/model/test_pruning.py tests/model/test_wordpiece.py tests/test_scoring.py tests/fde

integrations: # the frameworks' own packages, Ray and Qdrant run what stands between them and us, in an environment of its own
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/pip install --quiet '.[server,cluster,qdrant]' pytest langchain-core llama-index-core haystack-ai
	.venv-integrations/bin/pip install --quiet s3fs 'moto[server]' qdrant-edge-py
	.venv-integrations/bin/python -m pytest tests/integrations tests/server/cluster

spills: # no inner loop of the matrix products keeps its sums on the stack
	$(BIN)python native/check/spills.py

arm: # the int8 encoder gives the same bits on aarch64; needs g++-aarch64-linux-gnu and qemu-user
	native/check/compare

systems: # the core compiled for every system that wheels are for, and run where it can be; needs ziglang, qemu-user, Wine
	native/check/systems

web: # core.wasm, what a page runs of the native core; needs ziglang
	scripts/web

release: # all that is checked of a release on one machine; scripts/release says what it needs
	scripts/release

bench: # FEMTOSEARCH_DATA names a BEIR folder
	$(BIN)python -m benchmarks encode
	$(BIN)python -m benchmarks search
	$(BIN)python -m benchmarks kernels

results: # cards and docs/results.md, of the BEIR folders in the folder that FEMTOSEARCH_COLLECTIONS names
	$(BIN)python -m benchmarks results "$$FEMTOSEARCH_COLLECTIONS"/*/

fde: .venv/built # the FDE of MODEL, a folder, of pair files in DATA, without the texts of FEMTOSEARCH_COLLECTIONS
	$(BIN)python -m femtosearch train fde $(MODEL) --queries $(FDE_PAIRS) --documents $(FDE_PAIRS) \
	  --exclude $(EXCLUDED)

weights: .venv/built # the weights of the rows of MODEL's queries, of pair files in DATA, without the same texts
	$(BIN)python -m femtosearch train weights $(MODEL) --pairs $(WEIGHT_PAIRS) --exclude $(EXCLUDED)

torture: .venv/built # hostile tests of the engine, for MINUTES; the counts go into docs/reliability.md
	$(BIN)python -m torture --minutes $(or $(MINUTES),20) --json build/torture.json --page docs/reliability.md

fuzz: .venv/built # what others may hand to the engine, changed at random, for SECONDS
	$(BIN)python -m tests.fuzz --seconds $(or $(SECONDS),60)
