#include "service/api/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/api/agent.h"
#include "service/api/agents.h"
#include "service/api/object.h"
#include "service/api/page.h"
#include "service/store/store.h"

#define JOIN_TOKEN_MS 3600000

struct node_writer {
    struct api *api;
    struct out *out;
    int64_t revision;
};

/* What is left of the node's lease, by the listener's last stamp; 0 when it is out or never heard. */
static int64_t lease_left_ms(struct api *api, const struct node_row *node)
{
    const int64_t heard = agents_heard_boot_ms(api->agents, node->id);
    const int64_t left = heard + api->profile->ttl_ms - clock_boot_ms();
    return heard == 0 || node->state == NODE_LOST || left < 0 ? 0 : left;
}

static void write_slot(struct out *out, const struct slot_row *slot)
{
    out_open_object(out, NULL);
    out_text(out, "slot", slot->slot);
    out_text(out, "kind", device_kind_names[slot->kind]);
    out_text_or_null(out, "name", slot->name);
    out_text_or_null(out, "uuid", slot->uuid);
    out_int(out, "memory_bytes", slot->memory_bytes);
    out_bool(out, "present", slot->present);
    out_text_or_null(out, "job", slot->job);
    if (slot->job[0] != '\0') {
        out_int(out, "attempt", slot->attempt);
        out_int(out, "rank", slot->rank);
    } else {
        out_null(out, "attempt");
        out_null(out, "rank");
    }
    out_close_object(out);
}

static void write_node(void *context, const struct node_row *node, const struct slot_row *slots,
                       size_t slot_count)
{
    struct node_writer *writer = context;
    struct out *out = writer->out;
    writer->revision = node->revision;
    out_open_object(out, NULL);
    out_text(out, "id", node->id);
    out_int(out, "revision", node->revision);
    out_text(out, "hostname", node->hostname);
    out_text(out, "address", node->address);
    out_text(out, "state", node_state_names[node->state]);
    out_bool(out, "drain", node->drain);
    out_raw(out, "labels", node->labels != NULL ? node->labels : "{}",
            node->labels != NULL ? strlen(node->labels) : 2);
    out_int(out, "lease_remaining_ms", lease_left_ms(writer->api, node));
    out_text_or_null(out, "numerics", node->numerics);
    out_text_or_null(out, "version", node->version);
    out_int(out, "cpu_count", node->cpu_count);
    out_int(out, "memory_bytes", node->memory_bytes);
    out_time(out, "joined_at", node->joined_at_ms);
    out_time(out, "lost_at", node->lost_at_ms);
    out_open_array(out, "slots");
    for (size_t i = 0; i < slot_count; i++)
        write_slot(out, &slots[i]);
    out_close_array(out);
    out_close_object(out);
}

enum status node_view_read(struct buf *buf, struct api *api, struct lent *lent, const char *id,
                           struct error *err)
{
    struct out out = out_to(buf);
    struct node_writer writer = {.api = api, .out = &out};
    return reader_node(lent->state, id, write_node, &writer, err);
}

static enum status read_node(struct http_request *request, struct buf *body, int64_t *out_revision,
                             struct error *err)
{
    struct api *api = api_of(request);
    struct out out = out_to(body);
    struct node_writer writer = {.api = api, .out = &out};
    CLEANUP(lent_return) struct lent lent = {0};
    TRY(readers_lend(api->readers, &lent, err));
    TRY(reader_node(lent.state, http_param(request, 0), write_node, &writer, err));
    *out_revision = writer.revision;
    return STATUS_OK;
}

void nodes_get(struct http_request *request)
{
    object_get(request, read_node);
}

struct nodes_listing {
    struct name_page page;
    struct node_writer writer;
};

static void list_node(void *context, const struct node_row *node, const struct slot_row *slots,
                      size_t slot_count)
{
    struct nodes_listing *listing = context;
    if (name_page_takes(&listing->page, node->id))
        write_node(&listing->writer, node, slots, slot_count);
}

void nodes_list(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct nodes_listing listing = {.writer = {.api = api}};
    listing.writer.out = &listing.page.out;
    if (!name_page_begin(request, &body, &listing.page))
        return;
    enum status status = readers_lend(api->readers, &lent, &err);
    if (status == STATUS_OK)
        status = reader_nodes(lent.state, listing.page.after, listing.page.limit + 1, list_node,
                              &listing, &err);
    name_page_end(request, &listing.page, status, &err);
}

/* ---------------------------------------------------------------- what operators do */

struct node_action {
    struct api_call call;
    char node[ID_BYTES_MAX];
    const char *if_match;     /* NULL: any revision will do */
    int64_t refused_revision; /* which it did not match; 0: none */
};

/* Inside the transaction: is the node still the one that the caller has seen? */
static enum status check_revision(struct loop_call *call, struct store *store,
                                  const struct brain *brain, struct error *err)
{
    (void)store;
    struct node_action *action = (struct node_action *)(void *)call;
    const struct node_row *row = brain_node(brain, action->node);
    if (row == NULL || object_matches(action->if_match, row->revision))
        return STATUS_OK;
    action->refused_revision = row->revision;
    return error_set(err, STATUS_CONFLICT, "another revision");
}

static void acted(struct http_request *request)
{
    const struct node_action *action = http_context(request);
    if (action->refused_revision > 0)
        object_refuse_match(request, "node", action->if_match, action->refused_revision);
    else if (api_succeeded(request, &action->call))
        object_reply(request, 202, read_node);
}

static void act(struct http_request *request, enum input_kind kind)
{
    struct node_action *action = calloc(1, sizeof(*action));
    if (action == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, action, free);
    snprintf(action->node, sizeof(action->node), "%s", http_param(request, 0));
    if (!object_take_if_match(request, &action->if_match))
        return;
    action->call.loop.has_input = true;
    action->call.loop.prepare = check_revision;
    action->call.loop.input.kind = kind;
    action->call.loop.input.node = action->node;
    api_run(request, &action->call, acted);
}

void nodes_drain(struct http_request *request)
{
    act(request, INPUT_NODE_DRAIN);
}

void nodes_undrain(struct http_request *request)
{
    act(request, INPUT_NODE_UNDRAIN);
}

void nodes_fence(struct http_request *request)
{
    act(request, INPUT_NODE_FENCE);
}

/* ---------------------------------------------------------------- join tokens */

struct issuing {
    struct api_call call;
    struct join_token_row row;
    char text[AUTH_TOKEN_BYTES];
};

static enum status insert_token(struct loop_call *call, struct store *store,
                                const struct brain *brain, struct error *err)
{
    (void)brain;
    const struct issuing *issuing = (struct issuing *)(void *)call;
    return store_insert_join_token(store, &issuing->row, err);
}

static void issued(struct http_request *request)
{
    const struct issuing *issuing = http_context(request);
    if (!api_succeeded(request, &issuing->call))
        return;
    char expires[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(issuing->row.expires_at_ms, expires);
    http_reply_json(request, 201,
                    json_pack("{s:s, s:s, s:s}", "token", issuing->text, "id", issuing->row.id,
                              "expires_at", expires));
}

void nodes_token(struct http_request *request)
{
    struct issuing *issuing = calloc(1, sizeof(*issuing));
    if (issuing == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, issuing, free);
    const int64_t wall_ms = clock_wall_ms();
    auth_text_new(AGENT_JOIN_ROLE, wall_ms, issuing->text, issuing->row.id, issuing->row.sha256);
    snprintf(issuing->row.created_by, sizeof(issuing->row.created_by), "%s",
             http_caller(request)->token);
    issuing->row.created_at_ms = wall_ms;
    issuing->row.expires_at_ms = wall_ms + JOIN_TOKEN_MS;
    issuing->call.loop.prepare = insert_token;
    issuing->call.loop.grows = true;
    api_run(request, &issuing->call, issued);
}
