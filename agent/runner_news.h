#ifndef AGENT_RUNNER_NEWS_H
#define AGENT_RUNNER_NEWS_H

/* runner_news.h - takes what a runner said of itself or of a rank into the local attempt. */

#include <stdbool.h>

#include "agent/local.h"
#include "agent/runner/runner_protocol.h"

/* Maps the page and closes `page_fd` (-1: none). Returns whether anything changed. */
bool runner_news_apply(struct local *local, const struct runner_news *news, int page_fd);

#endif
