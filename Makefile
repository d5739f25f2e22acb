# The interface for newcomers and CI: make, make demo, make test, make bench.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all everything configure test demo bench install clean help
all: configure
	@cmake --build $(BUILD) -j $(JOBS) --target alcove_program alcove boot_linux

everything: configure
	@cmake --build $(BUILD) -j $(JOBS)

configure:
	@scripts/install-dependencies build
	@cmake --preset release >/dev/null

test:
	@scripts/install-dependencies test
	@$(MAKE) --no-print-directory everything
	@kernel=$$(scripts/fetch-test-kernel); export ALCOVE_TEST_KERNEL=$$kernel; \
	 ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

# As it was typed: without `value`, make would take a $ in it for one of its own variables.
demo:
	@scripts/install-dependencies demo
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) DEMO_COMMAND='$(subst ','\'',$(value DEMO_COMMAND))' scripts/demo

bench: everything
	@scripts/install-dependencies bench
	@BUILD=$(BUILD) bench/run

install: all
	@cmake --install $(BUILD) --prefix $(DESTDIR)$(or $(PREFIX),/usr/local)

clean:
	rm -rf build build-*

help:
	@echo "make        build build/alcove and the library"
	@echo "make test   build and run all tests"
	@echo "make demo   boot a Debian 12; DEMO_COMMAND='uname -a' runs that inside instead of a shell"
	@echo "make install  library, headers and program under PREFIX (default /usr/local)"
	@echo "make bench  Alcove beside QEMU, where QEMU is installed"
