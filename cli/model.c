/* model.c - fetching what a job made, and checking that it is what the controller holds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define MODEL_BYTES_MAX (64LL * 1024 * MIB)
#define FILE_PATH_BYTES 4096

struct model_config {
    struct cli_common common;
    const char *file;
};

/* The file's SHA-256 against the ETag, which may stand in quotes. */
static int check_hash(const struct cli *cli, const char *path, const char *etag,
                      char out_hex[SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    uint64_t bytes = 0;
    struct error err = {0};
    if (sha256_file(path, digest, &bytes, &err) != STATUS_OK)
        return cli_report(cli, &err);
    sha256_hex(digest, out_hex);
    if (!strstr(etag, out_hex)) {
        cli_complain(cli, "the file that came has SHA-256 %s, the controller says %s", out_hex,
                     etag[0] ? etag : "nothing");
        return EXIT_REQUEST_FAILED;
    }
    return EXIT_DONE;
}

/* Downloads beside `file` and renames when the hash is right: a file of this name is always whole. */
static int download(struct cli *cli, const char *id, const char *file,
                    char out_hex[SHA256_HEX_BYTES])
{
    char path[CLI_PATH_BYTES];
    char partial[FILE_PATH_BYTES];
    snprintf(path, sizeof path, "/v1/jobs/%s/model", id);
    snprintf(partial, sizeof partial, "%s.part", file);
    CLEANUP(fd_cleanup)
    const int fd = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        cli_complain(cli, "cannot write %s: %s", partial, strerror(errno));
        return EXIT_REQUEST_FAILED;
    }
    CLEANUP(buf_clear) struct buf problem;
    buf_init(&problem, CLI_ANSWER_BYTES_MAX);
    struct http_exchange exchange = {.method = "GET",
                                     .path = path,
                                     .out_fd = fd,
                                     .out_fd_bytes_max = MODEL_BYTES_MAX,
                                     .out_body = &problem};
    int rc = cli_exchange(cli, &exchange);
    if (rc == EXIT_DONE)
        rc = check_hash(cli, partial, exchange.out_etag, out_hex);
    if (rc == EXIT_DONE && rename(partial, file) != 0) {
        cli_complain(cli, "cannot rename %s to %s: %s", partial, file, strerror(errno));
        rc = EXIT_REQUEST_FAILED;
    }
    if (rc != EXIT_DONE)
        unlink(partial);
    return rc;
}

static int run_model(struct cli *cli, const void *config, char **words, int count)
{
    (void)count;
    const struct model_config *model = config;
    char id[ID_BYTES_MAX];
    char default_file[ID_BYTES_MAX + 128];
    char hex[SHA256_HEX_BYTES];
    CLEANUP(json_cleanup) json_t *job = NULL;
    CLI_TRY(cli_resolve_job(cli, words[0], true, id));
    CLI_TRY(cli_get(cli, &job, "/v1/jobs/%s", id));
    if (!json_is_object(json_object_get(job, "model"))) {
        cli_complain(cli, "%s is %s and has no model", id, field_text(job, "state", "?"));
        return EXIT_NOT_FOUND;
    }
    snprintf(default_file, sizeof default_file, "%s.safetensors", field_text(job, "name", id));
    const char *file = model->file ? model->file : default_file;
    CLI_TRY(download(cli, id, file, hex));
    const char *tensors = field_text(job, "model.sha256", "");
    if (model->common.json) {
        CLEANUP(json_cleanup)
        json_t *told = json_pack("{s:s,s:s,s:s,s:s,s:O}", "job", id, "file", file, "file_sha256",
                                 hex, "sha256", tensors, "model", json_object_get(job, "model"));
        print_json(told);
        return EXIT_DONE;
    }
    printf("%s\n", file);
    fprintf(stderr, "sha256 of the file     %s (checked)\nsha256 of the weights  %s\n", hex,
            tensors);
    return EXIT_DONE;
}

static const struct option_row model_rows[] = {{.name = "out",
                                                .environment = "",
                                                .kind = OPTION_TEXT,
                                                .offset = offsetof(struct model_config, file),
                                                .letter = 'o',
                                                .value = "FILE",
                                                .help = "where to (default: <name>.safetensors)"},
                                               {.name = "json",
                                                .environment = "",
                                                .kind = OPTION_FLAG,
                                                .offset = offsetof(struct cli_common, json),
                                                .help = "say what came as JSON"},
                                               CLI_CONNECTION_ROWS,
                                               OPTION_END};

const struct cli_verb verb_model = {
    .program = {.name = "reprise model",
                .synopsis = "[OPTION...] JOB",
                .about = "Download the model that a job made; its SHA-256 is checked.",
                .rows = model_rows},
    .config_bytes = sizeof(struct model_config),
    .words_min = 1,
    .words_max = 1,
    .run = run_model};
