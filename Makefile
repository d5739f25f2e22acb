# The interface for newcomers and CI: make, make demo, make test, make bench.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all build dependencies test demo bench clean help
all: build

dependencies:
	@scripts/install-dependencies build

build: dependencies
	@cmake --preset release >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

clean:
	rm -rf build build-*

help:
	@echo "make        build build/alcove"
	@echo "make test   build and run all tests"
	@echo "make demo   boot a Debian 12; DEMO_COMMAND='uname -a' runs that inside instead of a shell"
	@echo "make bench  Alcove beside QEMU, where QEMU is installed"
