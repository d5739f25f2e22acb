# The interface for newcomers and CI: make, make demo, make test, make bench.
BUILD ?= build
JOBS ?= $(shell nproc)

# What reads bytes that a guest, a file or another process made, and what that stands on; without the software
# engine, whose build would take longer than all of these.
SANITIZED = support exec memory bus storage network service serial input audio firmware config control pci chips boot virtio usb \
            storage_nbd devices_block devices_mass_storage devices_hid devices_net devices_console devices_entropy \
            devices_balloon devices_fs devices_vsock devices_sound devices_input devices_nvme devices_gpu display view

.PHONY: all everything configure test test-sanitized lint demo bench install clean help
all: configure
	@cmake --build $(BUILD) -j $(JOBS) --target alcove_program libraries boot_linux

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

test-sanitized:
	@scripts/install-dependencies test
	@cmake --preset asan >/dev/null
	@cmake --build build-asan -j $(JOBS) --target $(SANITIZED:%=%_test)
	@failed=; for module in $(SANITIZED); do \
	   echo "$$module, with sanitizers"; \
	   build-asan/tests/$${module}_test --gtest_brief=1 || failed="$$failed $$module"; \
	 done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# All sources, or those named by FILES: about a minute of processor time for each dozen.
FILES ?= $(shell git ls-files '*.cpp' ':!bench')
lint:
	@scripts/install-dependencies lint
	@cmake --preset release >/dev/null
	@printf '%s\n' $(FILES) | xargs -P $(JOBS) -n 2 clang-tidy-19 -p $(BUILD) --quiet

# As it was typed: without `value`, make would take a $ in it for one of its own variables.
demo:
	@scripts/install-dependencies demo
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) DEMO_COMMAND='$(subst ','\'',$(value DEMO_COMMAND))' scripts/demo

bench: all
	@scripts/install-dependencies bench
	@BUILD=$(BUILD) bench/run

install: all
	@cmake --install $(BUILD) --prefix $(DESTDIR)$(or $(PREFIX),/usr/local)

clean:
	rm -rf build build-*

help:
	@echo "make        build build/alcove and the library"
	@echo "make test   build and run all tests"
	@echo "make test-sanitized  the unit tests of what reads others' bytes, with address and undefined-behaviour sanitizers"
	@echo "make lint   clang-tidy over all sources, or over FILES='…'"
	@echo "make demo   boot a Debian 12; DEMO_COMMAND='uname -a' runs that inside instead of a shell"
	@echo "make install  library, headers and program under PREFIX (default /usr/local)"
	@echo "make bench  Alcove beside QEMU and this host, as a table (half an hour); BENCH_RUNS=1 BENCH_ROWS=python: a quick look"
