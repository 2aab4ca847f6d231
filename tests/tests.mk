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

# What has threads of its own, under TSan: first the whole service with its agents under load. TSan of older
# compilers can't place its shadow under much address randomisation, hence setarch.
RACES ?= integration/test_service_load \
         $(addprefix unit/test_,queue http_server http_client blobs telemetry live log logs store_reader agent \
                                comm_host comm_loss comm_rendezvous sync_step sync_modes train_feed readers pairs)
test-tsan:
	$(MAKE) BUILD=$(BUILD)/tsan SAN=thread test-tsan-run
test-tsan-run: all $(addprefix $(BUILD)/tests/,$(RACES))
	BUILD=$(BUILD) SANITIZED=1 RACES="$(RACES)" setarch -R sh tests/run.sh races
.PHONY: test-asan-run test-tsan-run

check-layers:
	sh tests/check_layers.sh

# Formatters and analyzers, then everything again by clang. LINT_CHANGED=1: the slow ones only on what differs from main.
lint:
	bash tests/lint.sh
	$(MAKE) CC=clang WERROR=1 BUILD=$(BUILD)-clang all lint-tests
# Tests are compiled too.
lint-tests: $(UNIT) $(INTEGRATION)
.PHONY: lint-tests

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

# Benches print one line a figure and write $(BUILD)/bench/*.json; SHORT=1 is the form of seconds.
bench: all $(BENCHES)
	@mkdir -p $(BUILD)/bench
	BUILD=$(BUILD) sh tests/run.sh bench

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
	BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/run.sh fuzz
.PHONY: fuzz-run
