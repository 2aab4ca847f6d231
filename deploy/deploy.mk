# What is deployed: the demo and the installation. Included by the Makefile.

# deps.sh may install what the Makefile's own pkg-config calls look for, so the demo builds in a second make.
demo:
	@BUILD="$(BUILD)" KEEP="$(KEEP)" bash deploy/demo.sh

deps:
	@deploy/deps.sh --yes

INSTALL_BIN  = $(DESTDIR)$(PREFIX)/bin
INSTALL_DOCS = $(DESTDIR)$(PREFIX)/share/reprise
INSTALLED    = reprise-service reprise-agent reprise-runner reprise-trainer reprise

install: all
	install -d $(INSTALL_BIN) $(INSTALL_DOCS)/jobs
	install -m 755 $(addprefix $(BIN)/,$(INSTALLED)) $(INSTALL_BIN)
	install -m 644 deploy/jobs/*.json $(INSTALL_DOCS)/jobs
