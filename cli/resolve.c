/* resolve.c - what people type instead of ids. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "schema/names.h"

#define RESOLVE_ITEMS_MAX 10000
#define RESOLVE_SHOWN_MAX 5

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    return text ? text : "";
}

static bool is_live(const json_t *job)
{
    const int state = name_index(job_state_names, text_of(job, "state"));
    return state >= 0 && !job_state_is_terminal((enum job_state)state);
}

static void list_candidates(const json_t *items, const char *key)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(items, i, item) {
        if (i == RESOLVE_SHOWN_MAX) {
            fprintf(stderr, "  … and %zu more\n", json_array_size(items) - i);
            return;
        }
        fprintf(stderr, "  %s  %s  %s\n", text_of(item, "id"), text_of(item, key),
                text_of(item, "state"));
    }
}

/* Whether `text` starts `id`, with or without the id's "job_". */
static bool is_prefix(const char *text, const char *id, const char *prefix)
{
    const size_t length = strlen(prefix);
    if (strncmp(text, prefix, length) != 0 && strncmp(id, prefix, length) == 0)
        id += length;
    return strncmp(text, id, strlen(text)) == 0;
}

/* The items whose id starts with `text`, or whose `key` is `text`; exact names win. */
static json_t *matching(const json_t *items, const char *text, const char *key, const char *prefix)
{
    json_t *named = json_array();
    json_t *prefixed = json_array();
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(items, i, item) {
        if (strcmp(text_of(item, key), text) == 0)
            json_array_append(named, item);
        else if (is_prefix(text, text_of(item, "id"), prefix))
            json_array_append(prefixed, item);
    }
    const bool by_name = json_array_size(named) > 0;
    json_decref(by_name ? prefixed : named);
    return by_name ? named : prefixed;
}

/* The one of several namesakes that is meant, or NULL. The list is newest first. */
static const json_t *choose_job(const struct cli *cli, const json_t *jobs, const char *text,
                                bool newest_will_do)
{
    const json_t *live = NULL;
    size_t live_count = 0;
    size_t i = 0;
    json_t *job = NULL;
    json_array_foreach(jobs, i, job) {
        if (is_live(job)) {
            live = live ? live : job;
            live_count++;
        }
    }
    if (json_array_size(jobs) == 1)
        return json_array_get(jobs, 0);
    if (live_count == 1)
        return live;
    const json_t *newest = json_array_get(jobs, 0);
    if (!newest_will_do || strcmp(text_of(newest, "name"), text) != 0)
        return NULL;
    cli_complain(cli, "%zu jobs are named %s; this is the newest, %s", json_array_size(jobs), text,
                 text_of(newest, "id"));
    return newest;
}

int cli_resolve_job(struct cli *cli, const char *text, bool newest_will_do, char out[ID_BYTES_MAX])
{
    if (id_is_valid(text, "job")) {
        snprintf(out, ID_BYTES_MAX, "%s", text);
        return EXIT_DONE;
    }
    CLEANUP(buf_clear) struct buf by_name;
    buf_init(&by_name, CLI_PATH_BYTES);
    buf_append_text(&by_name, "/v1/jobs?name=");
    url_append_escaped(&by_name, text);
    CLEANUP(json_cleanup) json_t *items = NULL;
    CLI_TRY(cli_list(cli, by_name.data, RESOLVE_ITEMS_MAX, &items, NULL));
    if (json_array_size(items) == 0) { /* no name: the start of an id, among the newest */
        json_decref(TAKE(items));
        CLI_TRY(cli_list(cli, "/v1/jobs", RESOLVE_ITEMS_MAX, &items, NULL));
    }
    CLEANUP(json_cleanup) json_t *found = matching(items, text, "name", "job_");
    if (json_array_size(found) == 0) {
        cli_complain(cli, "no job has the name or the id \"%s\"", text);
        return EXIT_NOT_FOUND;
    }
    const json_t *job = choose_job(cli, found, text, newest_will_do);
    if (!job) {
        cli_complain(cli, "\"%s\" may be any of %zu jobs:", text, json_array_size(found));
        list_candidates(found, "name");
        return EXIT_USAGE;
    }
    snprintf(out, ID_BYTES_MAX, "%s", text_of(job, "id"));
    return EXIT_DONE;
}

int cli_resolve_node(struct cli *cli, const char *text, char out[ID_BYTES_MAX])
{
    if (id_is_valid(text, "node")) {
        snprintf(out, ID_BYTES_MAX, "%s", text);
        return EXIT_DONE;
    }
    CLEANUP(json_cleanup) json_t *items = NULL;
    CLI_TRY(cli_list(cli, "/v1/nodes", RESOLVE_ITEMS_MAX, &items, NULL));
    CLEANUP(json_cleanup) json_t *found = matching(items, text, "hostname", "node_");
    if (json_array_size(found) == 1) {
        snprintf(out, ID_BYTES_MAX, "%s", text_of(json_array_get(found, 0), "id"));
        return EXIT_DONE;
    }
    if (json_array_size(found) == 0) {
        cli_complain(cli, "no node has the host name or the id \"%s\"", text);
        return EXIT_NOT_FOUND;
    }
    cli_complain(cli, "\"%s\" may be any of %zu nodes:", text, json_array_size(found));
    list_candidates(found, "hostname");
    return EXIT_USAGE;
}
