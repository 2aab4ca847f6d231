/* connect.c - which controller, and with which token: flag, environment, configuration file. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"

#define DEFAULT_SERVER       "http://127.0.0.1:8484"
#define CONFIG_BYTES_MAX     (64 * KIB)
#define TOKEN_FILE_BYTES_MAX 1024
#define CONNECT_TIMEOUT_MS   5000

const char *const cli_output_names[] = {"table", "wide", "json", "jsonl", "csv", "name", NULL};

struct connection {
    char server[256];
    char token[256];
    char token_file[1024];
};

static bool config_path(char out[1024])
{
    const char *folder = env_get("XDG_CONFIG_HOME");
    const char *home = env_get("HOME");
    if (!folder && !home)
        return false;
    snprintf(out, 1024, "%s%s/reprise/config.json", folder ? folder : home,
             folder ? "" : "/.config");
    return fs_exists(out);
}

/* A file that may hold a token must be its owner's alone. */
static enum status check_mode(const char *path, struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return error_set(err, STATUS_NOT_FOUND, "cannot read %s", path);
    if (info.st_mode & (S_IRWXG | S_IRWXO))
        return error_set(err, STATUS_FORBIDDEN, "%s can be read by others; run: chmod 600 %s", path,
                         path);
    return STATUS_OK;
}

static void decode_connection(const struct json_at *at, struct connection *out)
{
    const struct json_at server = json_at_key(at, "server");
    const struct json_at token = json_at_key(at, "token");
    const struct json_at token_file = json_at_key(at, "token_file");
    json_opt_string_copy(&server, out->server, sizeof out->server);
    json_opt_string_copy(&token, out->token, sizeof out->token);
    json_opt_string_copy(&token_file, out->token_file, sizeof out->token_file);
}

/*
 * {"profile": "lab", "profiles": {"lab": {"server": "http://…", "token": "…"}}, "server": "http://…"}:
 * what stands outside of the profiles holds for all of them.
 */
static enum status decode_config(const json_t *root, const char *profile, struct connection *out,
                                 struct error *err)
{
    static const char *const known[] = {"profile", "profiles",   "server",
                                        "token",   "token_file", NULL};
    static const char *const known_profile[] = {"server", "token", "token_file", NULL};
    struct json_problems problems = {0};
    const struct json_at at = json_at_root(root, &problems);
    const struct json_at profiles = json_at_key(&at, "profiles");
    const struct json_at preset_at = json_at_key(&at, "profile");
    const char *preset = NULL;
    if (json_get_object(&at, known))
        decode_connection(&at, out);
    json_opt_string(&preset_at, sizeof out->server, &preset);
    if (!profile)
        profile = preset;
    if (profile) {
        const struct json_at chosen = json_at_key(&profiles, profile);
        if (!json_present(&chosen))
            return error_set(err, STATUS_NOT_FOUND, "no profile \"%s\" in the configuration file",
                             profile);
        if (json_get_object(&chosen, known_profile))
            decode_connection(&chosen, out);
    }
    return json_problems_status(&problems, err);
}

static enum status read_config(const char *profile, struct connection *out, struct error *err)
{
    char path[1024];
    if (!config_path(path)) {
        if (!profile)
            return STATUS_OK;
        return error_set(err, STATUS_NOT_FOUND,
                         "no profile \"%s\": there is no configuration file "
                         "$XDG_CONFIG_HOME/reprise/config.json",
                         profile);
    }
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CONFIG_BYTES_MAX);
    CLEANUP(json_cleanup) json_t *root = NULL;
    TRY(check_mode(path, err));
    TRY(fs_read_file(path, &text, err));
    TRY(json_parse(text.data, text.size, &root, err));
    return decode_config(root, profile, out, err);
}

static enum status read_token_file(const char *path, char out[256], struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, TOKEN_FILE_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    text.data[strcspn(text.data, "\r\n \t")] = 0;
    if (text.data[0] == 0 || strlen(text.data) >= 256)
        return error_set(err, STATUS_INVALID, "%s holds no token", path);
    snprintf(out, 256, "%s", text.data);
    return STATUS_OK;
}

static bool is_given(const char *text)
{
    return text && *text;
}

static void choose(char *out, size_t size, const char *first, const char *second)
{
    snprintf(out, size, "%s", is_given(first) ? first : second);
}

static enum status find_connection(struct cli *cli, const struct cli_common *common,
                                   struct error *err)
{
    struct connection configured = {.server = DEFAULT_SERVER};
    TRY(read_config(common->profile, &configured, err));
    choose(cli->server, sizeof cli->server, common->server, configured.server);
    for (size_t end = strlen(cli->server); end > 0 && cli->server[end - 1] == '/'; end--)
        cli->server[end - 1] = 0;
    if (is_given(common->token)) {
        choose(cli->token, sizeof cli->token, common->token, "");
        return STATUS_OK;
    }
    if (is_given(common->token_file))
        return read_token_file(common->token_file, cli->token, err);
    choose(cli->token, sizeof cli->token, NULL, configured.token);
    if (!cli->token[0] && configured.token_file[0])
        return read_token_file(configured.token_file, cli->token, err);
    return STATUS_OK;
}

static void look_at_terminal(struct cli *cli)
{
    struct winsize window = {0};
    const char *term = env_get("TERM");
    cli->stdout_tty = isatty(STDOUT_FILENO) == 1;
    cli->colour = cli->stdout_tty && !env_get("NO_COLOR") && term && strcmp(term, "dumb") != 0;
    if (cli->stdout_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0)
        cli->width = window.ws_col;
}

int cli_open(struct cli *cli, const struct cli_common *common, bool offline)
{
    struct error err = {0};
    cli->output = common->json ? OUTPUT_JSON : (enum cli_output)common->output;
    look_at_terminal(cli);
    if (offline)
        return EXIT_DONE;
    if (find_connection(cli, common, &err) != STATUS_OK)
        return cli_report(cli, &err);
    const struct http_client_options options = {.base_url = cli->server,
                                                .token = cli->token[0] ? cli->token : NULL,
                                                .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    if (http_client_new(&options, &cli->client, &err) == STATUS_OK)
        return EXIT_DONE;
    const int rc = cli_report(cli, &err);
    return rc == EXIT_REQUEST_FAILED ? EXIT_USAGE : rc; /* what was given is no address */
}

void cli_close(struct cli *cli)
{
    http_client_free(cli->client);
    cli->client = NULL;
}
