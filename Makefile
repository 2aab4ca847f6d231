# Reprise. `make help` lists the targets. Everything is built under $(BUILD); nothing else is written.

BUILD   ?= build
# One spelling, however it is given: the dependency files name their targets by it.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
PREFIX  ?= /usr/local
SAN     ?=
WERROR  ?=
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)
DESTDIR ?=

# As many commands at once as there are processors, unless -j says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif

# V=1 shows the whole command lines.
Q = $(if $(V),,@)
ifeq ($(origin CC),default)
CC = gcc
endif

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
           -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wswitch-enum \
           -Wconversion -Wno-sign-conversion $(if $(WERROR),-Werror)
# No FMA contraction: which kernel runs must follow from the code, not from the compiler's mood.
CFLAGS_ALL = -std=gnu17 -D_GNU_SOURCE -I. -g -fPIE -pthread -ffp-contract=off $(WARNINGS) -MMD -MP
ifeq ($(SAN),)
CFLAGS_ALL += -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection
else
CFLAGS_ALL += -O1 -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=$(SAN)
endif
CFLAGS_ALL += -ffile-prefix-map=$(CURDIR)=. $(CFLAGS)
LDFLAGS_ALL += -pie -pthread -Wl,--as-needed -Wl,-z,relro,-z,now $(LDFLAGS)

PKGS = libmicrohttpd jansson sqlite3 libcurl openblas libxxhash zlib libzstd libcrypto cmocka
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS_ALL += $(PKG_CFLAGS)
pkg = $(shell pkg-config --libs $(1) 2>/dev/null)

sources = $(filter-out $(2),$(sort $(foreach d,$(1),$(wildcard $(d)/*.c))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

BASE_SRC    := $(call sources,base)
SCHEMA_SRC  := $(call sources,schema)
SERVICE_SRC := $(call sources,service service/brain service/store service/http service/api service/notify service/blobs,service/main.c)
AGENT_SRC   := $(call sources,agent,agent/main.c)
RUNNER_SRC  := $(call sources,agent/runner)
TRAINER_SRC := $(call sources,trainer trainer/model trainer/data trainer/optim trainer/sync trainer/comm trainer/compute trainer/compute/cpu trainer/export,trainer/main.c)
CLI_SRC     := $(call sources,cli,cli/main.c)

# Files that travel inside a binary: $(BUILD)/embed/<path>.o, symbols _binary_<path>_start and _end.
EMBED_SERVICE := $(sort $(wildcard schema/migrations/*.sql) $(wildcard schema/openapi.yaml) $(wildcard web/*.html web/*.css web/*.js))
embed = $(patsubst %,$(BUILD)/embed/%.o,$(1))
# The table of them that the service searches: name, start, end.
EMBED_TABLE := $(BUILD)/embed/table

LIB = $(BUILD)/lib
BIN = $(BUILD)/bin
PROGRAMS := $(foreach p,service:service agent:agent trainer:trainer,\
              $(if $(wildcard $(firstword $(subst :, ,$(p)))/main.c),$(BIN)/reprise-$(lastword $(subst :, ,$(p))))) \
            $(if $(RUNNER_SRC),$(BIN)/reprise-runner) $(if $(wildcard cli/main.c),$(BIN)/reprise)

.PHONY: all demo test test-unit test-sim test-integration test-asan test-tsan bench fuzz \
        check-layers format lint install clean help deps

all: $(PROGRAMS)

help:
	@echo "make               build everything into $(BUILD)/bin"
	@echo "make demo          install what is missing, build, train through the death of a node (KEEP=1 leaves it up)"
	@echo "make deps          install what is missing (deploy/deps.sh says what and why)"
	@echo "make test          unit tests, simulator, integration tests, layer check (test-unit, test-sim, test-integration: parts)"
	@echo "make bench         measure; writes $(BUILD)/bench/*.json (SHORT=1: minutes become seconds)"
	@echo "make check-layers  includes follow the allowed directions; file and function sizes; banned words"
	@echo "make lint          format, headers, analyzers, a clean build by clang (LINT_CHANGED=1: what differs from main)"
	@echo "make format        clang-format in place"
	@echo "make test-asan     unit and integration tests under ASan and UBSan"
	@echo "make test-tsan     the service under load under TSan"
	@echo "make fuzz          each fuzz target for FUZZ_SECONDS (default 20)"
	@echo "make install       to PREFIX (default /usr/local)"
	@echo "make mutants       break one safety rule of the brain at a time; the simulator must notice each"
	@echo "make clean         remove $(BUILD)"
	@echo
	@echo "variables: V=1 BUILD=dir CC=gcc|clang WERROR=1 SAN=address,undefined|thread PREFIX=dir JOBS=n"

# ---------------------------------------------------------------- compile and link

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "cc   $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MT $@ -c $< -o $@

# The CPU backend's loops vectorise; every clone of one gives the same bits (nothing is reassociated).
$(BUILD)/obj/trainer/compute/cpu/%.o: CFLAGS_ALL += -O3 -fno-math-errno -fno-trapping-math
$(BUILD)/obj/trainer/data/sampler.o $(BUILD)/obj/trainer/data/philox.o: CFLAGS_ALL += -O3

$(BUILD)/embed/%.o: %
	@mkdir -p $(@D)
	$(Q)$(LD) -r -z noexecstack -b binary $< -o $@

$(EMBED_TABLE).c: $(EMBED_SERVICE) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "service/http/embedded.h"'; \
	   for f in $(EMBED_SERVICE); do s=_binary_$$(echo $$f | tr -c 'a-zA-Z0-9\n' _); echo "extern const char $${s}_start[], $${s}_end[];"; done; \
	   echo 'const struct embedded_file embedded_files[] = {'; \
	   for f in $(EMBED_SERVICE); do s=_binary_$$(echo $$f | tr -c 'a-zA-Z0-9\n' _); echo "{\"$$f\", $${s}_start, $${s}_end},"; done; \
	   echo '{0}};'; } > $@
$(EMBED_TABLE).o: $(EMBED_TABLE).c service/http/embedded.h
	$(CC) $(CFLAGS_ALL) -c $< -o $@

$(LIB)/base.a: $(call objects,$(BASE_SRC))
$(LIB)/schema.a: $(call objects,$(SCHEMA_SRC))
$(LIB)/service.a: $(call objects,$(SERVICE_SRC)) $(call embed,$(EMBED_SERVICE)) $(EMBED_TABLE).o
$(LIB)/agent.a: $(call objects,$(AGENT_SRC))
$(LIB)/trainer.a: $(call objects,$(TRAINER_SRC))
$(LIB)/cli.a: $(call objects,$(CLI_SRC))
$(LIB)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

SERVICE_LIBS = $(call pkg,libmicrohttpd jansson sqlite3 libcurl libxxhash libcrypto)
AGENT_LIBS   = $(call pkg,jansson libcurl libxxhash libcrypto)
TRAINER_LIBS = $(call pkg,openblas jansson libxxhash zlib libzstd libcrypto) -ldl -lm
ALL_LIBS     = $(SERVICE_LIBS) $(TRAINER_LIBS) $(call pkg,cmocka)

link = @mkdir -p $(@D); echo "link $@"; $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(1)

$(BIN)/reprise-service: $(BUILD)/obj/service/main.o $(LIB)/service.a $(LIB)/schema.a $(LIB)/base.a
	$(call link,$(SERVICE_LIBS))
$(BIN)/reprise-agent: $(BUILD)/obj/agent/main.o $(LIB)/agent.a $(LIB)/schema.a $(LIB)/base.a
	$(call link,$(AGENT_LIBS))
# The supervisor that outlives the agent: its own files and libc, nothing else.
$(BIN)/reprise-runner: $(call objects,$(RUNNER_SRC))
	$(call link,)
$(BIN)/reprise-trainer: $(BUILD)/obj/trainer/main.o $(LIB)/trainer.a $(LIB)/schema.a $(LIB)/base.a
	$(call link,$(TRAINER_LIBS))
$(BIN)/reprise: $(BUILD)/obj/cli/main.o $(LIB)/cli.a $(LIB)/schema.a $(LIB)/base.a
	$(call link,$(AGENT_LIBS))

# ---------------------------------------------------------------- tests and benches

ALL_ARCHIVES = $(LIB)/service.a $(LIB)/agent.a $(LIB)/trainer.a $(LIB)/cli.a $(LIB)/schema.a $(LIB)/base.a

# A variable, because a comma would end an argument of $(call).
ARCHIVE_GROUP = -Wl,--start-group $(ALL_ARCHIVES) -Wl,--end-group

UNIT        := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
INTEGRATION := $(patsubst tests/integration/%.c,$(BUILD)/tests/integration/%,$(wildcard tests/integration/test_*.c))
BENCHES     := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(wildcard tests/bench/bench_*.c))
UNIT_HELP        := $(call objects,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
INTEGRATION_HELP := $(call objects,$(filter-out tests/integration/test_%,$(wildcard tests/integration/*.c)) tests/unit/json_schema.c)
BENCH_HELP       := $(call objects,$(filter-out tests/bench/bench_%,$(wildcard tests/bench/*.c)))
SIM_SRC     := $(wildcard tests/sim/*.c)

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_HELP) $(ALL_ARCHIVES)
	$(call link,$(ARCHIVE_GROUP) $(ALL_LIBS))
$(INTEGRATION): $(BUILD)/tests/integration/%: $(BUILD)/obj/tests/integration/%.o $(INTEGRATION_HELP) $(ALL_ARCHIVES)
	$(call link,$(ALL_LIBS))
$(BENCHES): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(BENCH_HELP) $(INTEGRATION_HELP) $(ALL_ARCHIVES)
	$(call link,$(ALL_LIBS))
$(BIN)/simrun: $(call objects,$(SIM_SRC)) $(LIB)/service.a $(LIB)/schema.a $(LIB)/base.a
	$(call link,$(SERVICE_LIBS))

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/*/*/*.d $(BUILD)/obj/*/*/*/*.d)

include tests/tests.mk
include deploy/deploy.mk

clean:
	rm -rf $(BUILD)
