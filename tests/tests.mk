# What `make test`, `make bench` and their kin run. Timing is measured by benches, never asserted by tests.

SIM_SEEDS ?= 300

test: all $(UNIT) $(INTEGRATION) $(if $(SIM_SRC),$(BIN)/simrun)
	BUILD=$(BUILD) SIM_SEEDS=$(SIM_SEEDS) sh tests/run.sh unit sim integration layers
test-unit: $(BIN)/reprise-agent $(BIN)/reprise-runner $(UNIT)
	BUILD=$(BUILD) sh tests/run.sh unit
test-sim: $(BIN)/simrun
	BUILD=$(BUILD) SIM_SEEDS=$(SIM_SEEDS) sh tests/run.sh sim
# Breaks one safety rule of the brain at a time; the simulator must notice each.
mutants:
	sh tests/sim/mutants.sh
.PHONY: mutants
test-integration: all $(INTEGRATION)
	BUILD=$(BUILD) sh tests/run.sh integration
test-asan:
	$(MAKE) BUILD=$(BUILD)/asan SAN=address,undefined test-asan-run
test-asan-run: all $(UNIT) $(INTEGRATION)
	BUILD=$(BUILD) SANITIZED=1 sh tests/run.sh unit integration

check-layers:
	sh tests/check_layers.sh

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

# Benches print one line a figure and write $(BUILD)/bench/*.json; SHORT=1 is the form of seconds.
bench: all $(BENCHES)
	@mkdir -p $(BUILD)/bench
	@for b in $(BENCHES); do echo "== $$(basename $$b)"; BUILD=$(BUILD) $$b || exit 1; done

# Each target for FUZZ_SECONDS from its corpus and dictionary; what breaks one is kept in $(BUILD)/fuzz/found.
FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
$(FUZZ): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(ALL_ARCHIVES)
	$(call link,-fsanitize=fuzzer $(ARCHIVE_GROUP) $(ALL_LIBS))
fuzz:
	@command -v clang >/dev/null || { echo "make fuzz needs clang: bash deploy/deps.sh --yes --ci"; exit 1; }
	$(MAKE) BUILD=$(BUILD)/fuzz CC="$(FUZZ_CC)" SAN=fuzzer-no-link,address,undefined fuzz-run
fuzz-run: $(FUZZ)
	BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/fuzz/run.sh $(FUZZ)
.PHONY: fuzz-run
