#include "agent/join.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/probe.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"

#define CREDENTIAL_NAME      "credential.json"
#define CREDENTIAL_MODE      0600
#define CREDENTIAL_BYTES_MAX (16 * KIB)
#define JOIN_TIMEOUT_MS      5000
#define JOIN_BACKOFF_MS      100
#define JOIN_BACKOFF_MAX_MS  2000

static enum status decode_answer(const char *text, size_t size, struct wire_join_answer *out,
                                 struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(text, size, &document, err));
    struct json_problems problems = {0};
    const struct json_at root = json_at_root(document, &problems);
    wire_join_answer_decode(&root, out);
    return json_problems_status(&problems, err);
}

static void adopt_answer(struct site *site, const struct wire_join_answer *answer)
{
    memcpy(site->node_id, answer->node_id, sizeof(site->node_id));
    memcpy(site->node_token, answer->node_token, sizeof(site->node_token));
    memcpy(site->profile, answer->profile, sizeof(site->profile));
}

static enum status read_credential(struct site *site, const char *path, struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    struct wire_join_answer answer = {0};
    buf_init(&text, CREDENTIAL_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    TRY(decode_answer(text.data, text.size, &answer, err));
    adopt_answer(site, &answer);
    return STATUS_OK;
}

static enum status parse_ports(const char *text, struct wire_join *out, struct error *err)
{
    if (!text)
        return STATUS_OK;
    char *end;
    const long first = strtol(text, &end, 10);
    const long last = *end == '-' ? strtol(end + 1, &end, 10) : -1;
    if (*end || first < 1 || last < first || last > 65535)
        return error_set(err, STATUS_INVALID,
                         "port range \"%s\": expected A-B with 1 <= A <= B <= 65535", text);
    out->port_first = first;
    out->port_last = last;
    return STATUS_OK;
}

static enum status parse_labels(const struct option_list *labels, struct wire_join *out,
                                struct error *err)
{
    for (size_t i = 0; labels && i < labels->count; i++) {
        const char *text = labels->items[i];
        const size_t key_bytes = strcspn(text, "=");
        struct wire_label *label = &out->labels[out->label_count];
        if (out->label_count == NODE_LABELS_MAX || text[key_bytes] != '=' || key_bytes == 0 ||
            key_bytes >= sizeof(label->key) ||
            !text_copy(label->value, sizeof(label->value), text + key_bytes + 1))
            return error_set(err, STATUS_INVALID, "label \"%s\": expected key=value", text);
        memcpy(label->key, text, key_bytes);
        label->key[key_bytes] = 0;
        out->label_count++;
    }
    return STATUS_OK;
}

static enum status read_token(const char *path, struct wire_join *out, struct error *err)
{
    if (!path)
        return error_set(err, STATUS_INVALID,
                         "this node has not joined yet: give --join-token-file");
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CREDENTIAL_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    text.data[strcspn(text.data, " \t\r\n")] = 0;
    if (!text_copy(out->join_token, sizeof(out->join_token), text.data) || !text.data[0])
        return error_set(err, STATUS_INVALID, "%s holds no join token", path);
    return STATUS_OK;
}

static enum status describe(const struct site *site, const struct join_options *options,
                            struct wire_join *out, struct error *err)
{
    TRY(read_token(options->token_file, out, err));
    TRY(parse_ports(options->port_range, out, err));
    TRY(parse_labels(options->labels, out, err));
    TRY(probe_numerics(site->trainer, out->numerics, err));
    (void)gethostname(out->hostname, sizeof(out->hostname) - 1);
    (void)text_copy(out->address, sizeof(out->address), site->address);
    (void)text_copy(out->boot_id, sizeof(out->boot_id), site->boot_id);
    (void)text_copy(out->version, sizeof(out->version), REPRISE_VERSION);
    out->cpu_count = probe_cpu_count();
    out->memory_bytes = probe_memory_bytes();
    memcpy(out->slots, site->slots, sizeof(out->slots));
    out->slot_count = site->slot_count;
    return STATUS_OK;
}

static enum status ask_once(const struct site *site, const char *body, struct wire_join_answer *out,
                            struct error *err)
{
    const struct http_client_options client_options = {.base_url = site->controller,
                                                       .connect_timeout_ms = JOIN_TIMEOUT_MS};
    CLEANUP(http_client_cleanup) struct http_client *client = NULL;
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, CREDENTIAL_BYTES_MAX);
    TRY(http_client_new(&client_options, &client, err));
    struct http_exchange exchange = {
        .method = "POST",
        .path = "/v1/agent/join",
        .body = body,
        .body_bytes = strlen(body),
        .timeout_ms = JOIN_TIMEOUT_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(client, &exchange, err));
    if (exchange.out_code >= 500 || exchange.out_code == 429)
        return error_set(err, STATUS_UNAVAILABLE, "join was answered %ld", exchange.out_code);
    if (exchange.out_code != 200 && exchange.out_code != 201)
        return error_set(err, STATUS_DENIED, "join was answered %ld: %.200s", exchange.out_code,
                         answer.data);
    return decode_answer(answer.data, answer.size, out, err);
}

static enum status ask(const struct site *site, const char *body, struct wire_join_answer *out,
                       struct error *err)
{
    struct backoff backoff = backoff_of(JOIN_BACKOFF_MS, JOIN_BACKOFF_MAX_MS);
    bool complained = false;
    for (;;) {
        struct error once = {0};
        const enum status status = ask_once(site, body, out, &once);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (status != STATUS_UNAVAILABLE)
            return error_set(err, status, "%s", once.text);
        if (!complained)
            log_write(LOG_WARN, "controller_away", once.text, "controller", site->controller, NULL);
        complained = true;
        clock_sleep_ms(backoff_next_ms(&backoff));
    }
}

static enum status join_now(struct site *site, const struct join_options *options, const char *path,
                            struct error *err)
{
    CLEANUP(free_cleanup) struct wire_join *join = calloc(1, sizeof(*join));
    if (!join)
        return error_set(err, STATUS_NO_MEMORY, "no memory to join");
    TRY(describe(site, options, join, err));
    CLEANUP(json_cleanup) json_t *document = wire_join_encode(join);
    CLEANUP(free_cleanup) char *body = document ? json_dumps(document, JSON_COMPACT) : NULL;
    if (!body)
        return error_set(err, STATUS_NO_MEMORY, "no memory to join");
    struct wire_join_answer answer = {0};
    TRY(ask(site, body, &answer, err));
    CLEANUP(json_cleanup) json_t *credential = wire_join_answer_encode(&answer);
    CLEANUP(free_cleanup) char *text = credential ? json_canonical(credential) : NULL;
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a credential");
    TRY(fs_replace_file(path, text, strlen(text), CREDENTIAL_MODE, err));
    adopt_answer(site, &answer);
    log_write(LOG_INFO, "joined", "the controller knows this node", "node", site->node_id,
              "profile", site->profile, NULL);
    return STATUS_OK;
}

enum status join_node(struct site *site, const struct join_options *options, struct error *err)
{
    char path[SITE_PATH_BYTES + 32];
    TRY(fs_path(path, sizeof(path), err, "%s/" CREDENTIAL_NAME, site->data_dir));
    if (fs_exists(path))
        return read_credential(site, path, err);
    return join_now(site, options, path, err);
}
