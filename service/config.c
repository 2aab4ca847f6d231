#include "service/config.h"

static const char *const profile_names[] = {"default", "fast", "relaxed", NULL};

static const struct option_row rows[] = {
    {.name = "data",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct config, data),
     .required = true,
     .value = "DIR",
     .help = "folder of the databases, checkpoints and models; made if missing",
     .environment = "REPRISE_SERVICE_DATA"}, /* REPRISE_DATA is the folder of data sets */
    {.name = "listen",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct config, listen),
     .initial = "127.0.0.1:8484",
     .value = "ADDR:PORT",
     .help = "where people and programs ask; port 0 picks a free one"},
    {.name = "agents-listen",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct config, agents_listen),
     .initial = "127.0.0.1:8485",
     .value = "ADDR:PORT",
     .help = "where node agents report; port 0 picks a free one"},
    {.name = "profile",
     .kind = OPTION_ENUM,
     .offset = offsetof(struct config, profile),
     .names = profile_names,
     .initial = "default",
     .value = "NAME",
     .help = "how soon silent nodes are given up: default, fast or relaxed"},
    {.name = "web-dir",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct config, web_dir),
     .value = "DIR",
     .help = "serve the status page's files from here instead of from the binary"},
    OPTION_END,
};

const struct option_program config_program = {
    .name = "reprise-service",
    .synopsis = "--data DIR [options]",
    .about = "The controller of Reprise: takes jobs over REST, places them on node agents, commits "
             "their "
             "checkpoints, and goes on from the newest one when a node dies.",
    .rows = rows,
    .epilogue =
        "DIR/operator.token holds the first token, DIR/endpoints.json the addresses once it "
        "serves.\nSIGTERM answers what is held, commits what was accepted, and ends.\n",
};
