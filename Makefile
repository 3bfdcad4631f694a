# mebi: a thin front of Meson. `make run` and `make test` are all that is needed.
BUILD := build
PREFIX ?= /usr/local
BUILDS := $(BUILD) build-asan
CONFIGURE = test -f $(1)/build.ninja || meson setup $(1) --prefix $(PREFIX) $(2) >$(1).log 2>&1 || { cat $(1).log; exit 1; }

.PHONY: all run test bench install clean deps FORCE

all: deps
	@$(call CONFIGURE,$(BUILD)); rm -f $(BUILD).log
	@ninja -C $(BUILD) --quiet

# Debian packages that are missing are installed (as root or with sudo); elsewhere it says which.
deps:
	@tools/install-packages build

run: all
	$(BUILD)/mebi generate -m models/mini -p "纯白背景,一个红色苹果" --seed 1

# Unit, parity and command-line tests, the rules of the house, and everything again under ASan and UBSan.
test: all
	@tools/install-packages test
	@$(MAKE) --no-print-directory build-asan
	tests/run $(BUILDS)

build-asan: FORCE
	@$(call CONFIGURE,build-asan,--buildtype=debugoptimized -Dc_args=-g1 -Db_sanitize=address$(comma)undefined \
	  -Db_lundef=false); rm -f build-asan.log
	@ninja -C build-asan --quiet

bench: all
	$(BUILD)/tests/test_cpu --bench

install: all
	@meson configure $(BUILD) --prefix $(PREFIX)
	meson install -C $(BUILD)

clean:
	rm -rf build build-*

comma := ,
FORCE:
