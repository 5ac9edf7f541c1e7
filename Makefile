# make        set up this machine if needed, build build/release/moescope
# make help   everything else
PREFIX ?= /usr/local
JOBS ?=
# A test more than there are cores: some wait for terminals and signals.
TEST_JOBS ?= 3
ROOMS ?=

# Read by CMake when a build folder is made.
ifneq ($(shell command -v ccache 2>/dev/null),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

# $(call configure,PRESET): only when there is no build folder yet, or set-up installed something that
# CMake did not find; ninja keeps it up to date otherwise.
configure = test build/$(1)/build.ninja -nt .venv/.moescope-found || cmake --preset $(1)
build = cmake --build build/$(1) --target $(2) $(if $(JOBS),-j $(JOBS))
ctest = ctest --test-dir build/$(1) --output-on-failure -j $(TEST_JOBS)

# $(call announce,PRESET): what a first build will take, said before anything is done; set-up is about
# two minutes of it.
cpu_minutes = 5
cores := $(or $(JOBS),$(shell getconf _NPROCESSORS_ONLN))
announce = test -e build/$(1)/moescope || echo "make: a first build takes about $$(( ($(cpu_minutes) + \
  $(cores) - 1) / $(cores) + 2 )) minutes ($(cores) cores) and 0.8 GB in this folder"

# Leaks and races inside prebuilt libraries (libarrow, libmlx, libfontconfig) are not ours to judge.
export ASAN_OPTIONS ?= strict_string_checks=1:detect_stack_use_after_return=1
export LSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS ?= ignore_noninstrumented_modules=1 halt_on_error=1 second_deadlock_stack=1

.DEFAULT_GOAL := program
.PHONY: program setup release debug asan tsan test verbose-test test-asan test-tsan cross-aarch64 demo bench \
        install uninstall clean format check-format tidy tidy-changed help

program: release
	@echo "built build/release/moescope; 'make demo' shows what it does, 'make install' puts it into $(PREFIX)"

setup: ## Install what the build needs and the machine lacks
	@setup/setup.sh $(setup_flags)

test verbose-test test-asan test-tsan: setup_flags = --test
format check-format tidy tidy-changed: setup_flags = --lint
test verbose-test test-asan test-tsan: cpu_minutes = 10

release debug asan tsan: ## Build the program with that CMake preset, to build/PRESET
	@$(call announce,$@)
	@setup/setup.sh $(setup_flags)
	@$(call configure,$@)
	@$(call build,$@,all)

test: release ## Build and run all tests
	@$(call build,release,moe_tests)
	@$(call ctest,release)

verbose-test: release ## The same, showing each test
	@$(call build,release,moe_tests)
	@$(call ctest,release) --verbose

test-asan: asan ## All tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(call build,asan,moe_tests)
	@$(call ctest,asan)

test-tsan: tsan ## All tests under ThreadSanitizer
	@$(call build,tsan,moe_tests)
	@$(call ctest,tsan)

cross-aarch64: ## Build for Linux on 64-bit ARM and run the C++ tests in qemu (ROOMS='base codec': theirs only)
	@setup/setup.sh --cross
	@test build/$@/build.ninja -nt .venv/.moescope-found || cmake --preset release -B build/$@ \
	  --toolchain cmake/toolchains/aarch64-linux.cmake
	@$(call build,$@,$(if $(ROOMS),$(ROOMS:%=%_test),all moe_tests))
	@$(call ctest,$@) -R '^($(or $(subst $() ,|,$(strip $(ROOMS))),[a-z_]+))_test$$'

demo/model/config.json: scripts/make_demo_model.py
	@.venv/bin/python scripts/make_demo_model.py demo/model

demo: release ## Write a small MoE checkpoint and run the whole pipeline on it
	@$(MAKE) --no-print-directory demo/model/config.json
	@build/release/moescope analyze demo/model --out demo/runs --model-id demo --run-name first
	@echo "docs/outputs.md explains every file and column. The page:"
	@ls "$(CURDIR)/demo/runs/demo/first/report.html"

bench: setup ## Build and run the benchmarks
	@cmake --preset release -B build/bench -DMOE_BUILD_BENCH=ON -DMOE_BUILD_TESTS=OFF
	@cmake --build build/bench $(if $(JOBS),-j $(JOBS)) --target run_bench

install: release ## Install to PREFIX (default /usr/local)
	@cmake --install build/release --prefix "$(PREFIX)"
	@echo "installed $(PREFIX)/bin/moescope; 'make uninstall' with the same PREFIX removes it"

uninstall: ## Remove what install put there
	@cmake -D PREFIX="$(PREFIX)" -P cmake/Uninstall.cmake

clean: ## Remove the builds and the demo (.venv stays)
	@rm -rf build/release build/debug build/asan build/tsan build/bench build/cross-aarch64 demo

# Every C++ source, also one that is not committed yet.
cxx_sources = find bench examples include src tests -name node_modules -prune -o -name '*.cc' -print -o -name '*.h' -print

format: setup ## Format the C++ and JavaScript sources in place
	@$(cxx_sources) | xargs clang-format-19 -i
	@npm --prefix src/report/web run --silent format

check-format: setup ## Fail when format would change a source
	@$(cxx_sources) | xargs clang-format-19 --dry-run -Werror
	@npm --prefix src/report/web run --silent check-format

tidy: release ## Run clang-tidy on all C++ sources
	@.venv/bin/python scripts/tidy.py build/release

tidy-changed: release ## The same, on those that changed since main
	@.venv/bin/python scripts/tidy.py build/release --changed

help: ## Show this list
	@sed -n 's/^\([a-z][a-z0-9 -]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r target text; do printf '  make %-26s %s\n' "$$target" "$$text"; done
