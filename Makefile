# The interface for newcomers and CI: make, make demo, make test, make bench.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all build dependencies test demo bench install clean help
all: build

dependencies:
	@scripts/install-dependencies build

build: dependencies
	@cmake --preset release >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

test:
	@scripts/install-dependencies test
	@$(MAKE) --no-print-directory build
	@kernel=$$(scripts/fetch-test-kernel); export ALCOVE_TEST_KERNEL=$$kernel; \
	 ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

demo: build
	@scripts/install-dependencies demo
	@BUILD=$(BUILD) DEMO_COMMAND='$(subst ','\'',$(DEMO_COMMAND))' scripts/demo

bench: build
	@scripts/install-dependencies bench
	@BUILD=$(BUILD) bench/run

install: build
	@cmake --install $(BUILD) --prefix $(DESTDIR)$(or $(PREFIX),/usr/local)

clean:
	rm -rf build build-*

help:
	@echo "make        build build/alcove"
	@echo "make test   build and run all tests"
	@echo "make demo   boot a Debian 12; DEMO_COMMAND='uname -a' runs that inside instead of a shell"
	@echo "make install  library, headers and program under PREFIX (default /usr/local)"
	@echo "make bench  Alcove beside QEMU, where QEMU is installed"
