/* main.c - reprise-service: options, signals, the way up and the way down. */

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/version.h"
#include "service/api/lifecycle.h"
#include "service/config.h"

#define ARENAS_MAX 2 /* memory of threads that come and go is shared: small, not fast */

/* Signals are taken by sigwait() in main alone; every thread inherits the mask. */
static void block_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGINT);
    pthread_sigmask(SIG_BLOCK, out, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static enum status write_endpoints(const struct config *config, const struct api *api,
                                   struct error *err)
{
    char path[1024];
    char text[512];
    TRY(fs_path(path, sizeof(path), err, "%s/endpoints.json", config->data));
    const int size = snprintf(
        text, sizeof(text), "{\"api\": \"%s\", \"agents\": \"%s\", \"pid\": %ld}\n",
        http_server_url(api->people_server), http_server_url(api->agents_server), (long)getpid());
    return fs_replace_file(path, text, (size_t)size, 0644, err);
}

static enum status serve(const struct config *config, struct error *err)
{
    sigset_t signals;
    block_signals(&signals);
    TRY(fs_make_dirs(config->data, 0700, err));
    const struct api_options options = {
        .data_dir = config->data,
        .listen = config->listen,
        .agents_listen = config->agents_listen,
        .profile = &brain_profiles[config->profile],
        .web_dir = config->web_dir,
    };
    struct api *api = NULL;
    TRY(api_open(&options, &api, err));
    const enum status status = write_endpoints(config, api, err);
    if (status != STATUS_OK) {
        api_close(api);
        return status;
    }
    log_write(LOG_INFO, "serving", "ready", "version", REPRISE_VERSION, "api",
              http_server_url(api->people_server), "agents", http_server_url(api->agents_server),
              "profile", options.profile->name, NULL);
    malloc_trim(0); /* what only the start needed */
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    log_write(LOG_INFO, "stopping", "answering what is held", "signal", strsignal(signal_number),
              NULL);
    api_close(api);
    log_write(LOG_INFO, "stopped", "bye", NULL);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct config config = {0};
    int words = 0;
    switch (option_parse(&config_program, argc, argv, &config, &words)) {
    case OPTION_EXIT_OK:
        return EXIT_SUCCESS;
    case OPTION_EXIT_USAGE:
        return EXIT_USAGE;
    case OPTION_RUN:
        break;
    }
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    umask(0077);
    struct error err = {0};
    if (serve(&config, &err) == STATUS_OK)
        return EXIT_SUCCESS;
    log_write(LOG_ERROR, "failed", err.text, "status", status_name(err.status), NULL);
    return EXIT_FAILURE;
}
