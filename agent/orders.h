#ifndef AGENT_ORDERS_H
#define AGENT_ORDERS_H

/*
 * orders.h - writes runner.orders (agent/runner/runner_orders.h): what each rank is, and the
 * environment that interface.md, section 5, promises it.
 */

#include <stdint.h>

#include "agent/site.h"
#include "base/buf.h"
#include "base/error.h"
#include "schema/wire_agent.h"

struct orders_lease {
    int64_t lease_boot_ms;
    int64_t kill_budget_ms;
};

#define ORDERS_SETUP_TIMEOUT_MS 600000
#define ORDERS_HANG_GRACE_MS    5000

/* Appends the whole file to `out`. `folder` is the attempt's, absolute. */
MUST_CHECK enum status orders_render(const struct site *site, const char *folder,
                                     const struct wire_assignment *assignment,
                                     const struct orders_lease *lease, struct buf *out,
                                     struct error *err);
/* "key value" with the value's newlines and backslashes escaped. */
void orders_append_line(struct buf *out, const char *key, const char *value);

#endif
