#include "agent/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

#define INTENT_NAME      "intent.json"
#define INTENT_BYTES_MAX SYNC_BYTES_MAX
#define INTENT_MODE      0600 /* it holds the attempt's secret */

static json_t *encode_one(const struct wire_assignment *assignment)
{
    struct wire_sync_answer answer = {
        .session = 1,
        .seq = 1,
        .lease_ms = 1,
        .heartbeat_ms = 1,
        .kill_budget_ms = 1,
        .revision = 1,
        .has_desired = true,
        .assignment_count = 1,
        .assignments = (struct wire_assignment *)(uintptr_t)assignment,
    };
    return wire_sync_answer_encode(&answer);
}

static enum status decode_one(const json_t *document, struct wire_sync_answer *out,
                              struct error *err)
{
    struct json_problems problems = {0};
    const struct json_at root = json_at_root(document, &problems);
    wire_sync_answer_decode(&root, out);
    TRY(json_problems_status(&problems, err));
    if (out->assignment_count != 1)
        return error_set(err, STATUS_CORRUPT, "expected one assignment, got %zu",
                         out->assignment_count);
    return STATUS_OK;
}

enum status assignment_copy(const struct wire_assignment *from, struct wire_sync_answer *out,
                            struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = encode_one(from);
    if (!document)
        return error_set(err, STATUS_NO_MEMORY, "no memory to copy an assignment");
    return decode_one(document, out, err);
}

static enum status replace_unsynced(const char *path, const char *text, struct error *err)
{
    char temporary[LOCAL_FOLDER_BYTES + 64];
    TRY(fs_path(temporary, sizeof(temporary), err, "%s.tmp", path));
    CLEANUP(fd_cleanup)
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, INTENT_MODE);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", temporary);
    TRY(fs_write_all(fd, text, strlen(text), err));
    if (rename(temporary, path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s", temporary);
    return STATUS_OK;
}

enum status intent_write(const char *folder, const char *boot_id,
                         const struct wire_assignment *assignment, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    CLEANUP(json_cleanup) json_t *document = encode_one(assignment);
    if (!document || json_object_set_new(document, "boot_id", json_string(boot_id)) != 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an intent");
    CLEANUP(free_cleanup) char *text = json_dumps(document, JSON_COMPACT);
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an intent");
    TRY(fs_path(path, sizeof(path), err, "%s/" INTENT_NAME, folder));
    return replace_unsynced(path, text, err);
}

enum status intent_read(const char *folder, struct intent *out, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    CLEANUP(buf_clear) struct buf text;
    CLEANUP(json_cleanup) json_t *document = NULL;
    buf_init(&text, INTENT_BYTES_MAX);
    TRY(fs_path(path, sizeof(path), err, "%s/" INTENT_NAME, folder));
    TRY(fs_read_file(path, &text, err));
    TRY(json_parse(text.data, text.size, &document, err));
    const char *boot_id = json_string_value(json_object_get(document, "boot_id"));
    if (!boot_id || !text_copy(out->boot_id, sizeof(out->boot_id), boot_id))
        return error_set(err, STATUS_CORRUPT, "%s has no boot_id", path);
    return decode_one(document, &out->held, err);
}

void intent_remove(const char *folder)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    if (fs_path(path, sizeof(path), NULL, "%s/" INTENT_NAME, folder) == STATUS_OK)
        (void)unlink(path);
}

void intent_clear(struct intent *intent)
{
    wire_sync_answer_clear(&intent->held);
}
