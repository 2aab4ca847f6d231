#include "base/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "base/version.h"

#define URL_BYTES_MAX     ((size_t)8 * KIB)
#define HEADER_BYTES_MAX  1024
#define POLL_MS_MAX       1000 /* a bound only: sockets, timers and wake-ups end the wait */
#define RETRY_AFTER_MAX_S 86400
#define URL_SHOWN_BYTES   160

/*
 * An easy handle for the exchange, driven through a multi handle: its poll can be woken by another
 * thread, which a blocking curl_easy_perform() cannot.
 */
struct http_client {
    CURL *easy;
    CURLM *multi;
    char *base_url;
    char *token;
    char *user_agent;
    int64_t connect_timeout_ms;
    atomic_bool aborted;
    char reason[CURL_ERROR_SIZE];
};

/* One exchange while it runs. */
struct transfer {
    struct http_client *client;
    struct http_exchange *exchange;
    uint64_t sent;      /* of body_fd */
    uint64_t received;  /* into out_fd */
    struct error error; /* what a callback found wrong; it ended the transfer */
};

static void global_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ------------------------------------------------------------------ life */

static enum status check_base_url(const char *url, struct error *err)
{
    if (strncmp(url, "https://", strlen("https://")) == 0)
        return error_set(err, STATUS_UNSUPPORTED, "%s: TLS comes in a later release, use http://",
                         url);
    if (strncmp(url, "http://", strlen("http://")) != 0 || url[strlen("http://")] == '\0')
        return error_set(err, STATUS_INVALID, "%s: expected http://HOST:PORT", url);
    if (strlen(url) >= URL_BYTES_MAX / 2)
        return error_set(err, STATUS_TOO_LARGE, "server URL is over %zu bytes", URL_BYTES_MAX / 2);
    return STATUS_OK;
}

enum status http_client_new(const struct http_client_options *options, struct http_client **out,
                            struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    TRY(check_base_url(options->base_url, err));
    CLEANUP(http_client_cleanup) struct http_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an HTTP client");
    client->easy = curl_easy_init();
    client->multi = curl_multi_init();
    client->base_url = strdup(options->base_url);
    client->user_agent =
        strdup(options->user_agent != NULL ? options->user_agent : "reprise/" REPRISE_VERSION);
    if (client->easy == NULL || client->multi == NULL || client->base_url == NULL ||
        client->user_agent == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an HTTP client");
    client->connect_timeout_ms = options->connect_timeout_ms;
    for (size_t end = strlen(client->base_url); end > 0 && client->base_url[end - 1] == '/'; end--)
        client->base_url[end - 1] = '\0';
    http_client_set_token(client, options->token);
    if (options->token != NULL && client->token == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an HTTP client");
    *out = TAKE(client);
    return STATUS_OK;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->easy);
    (void)curl_multi_cleanup(client->multi);
    free(client->base_url);
    free(client->token);
    free(client->user_agent);
    free(client);
}

void http_client_cleanup(struct http_client **client)
{
    http_client_free(*client);
}

void http_client_set_token(struct http_client *client, const char *token)
{
    free(client->token);
    client->token = token != NULL ? strdup(token) : NULL;
}

void http_client_abort(struct http_client *client)
{
    atomic_store(&client->aborted, true);
    (void)curl_multi_wakeup(client->multi);
}

void http_client_arm(struct http_client *client)
{
    atomic_store(&client->aborted, false);
}

/* ------------------------------------------------------------------ callbacks */

static bool is_success(const struct transfer *transfer)
{
    return transfer->exchange->out_code >= 200 && transfer->exchange->out_code < 300;
}

static bool store_in_fd(struct transfer *transfer, const char *bytes, size_t size)
{
    struct http_exchange *exchange = transfer->exchange;
    if (size > exchange->out_fd_bytes_max - transfer->received) {
        (void)error_set(&transfer->error, STATUS_TOO_LARGE, "answer is over %ju bytes",
                        (uintmax_t)exchange->out_fd_bytes_max);
        return false;
    }
    transfer->received += size;
    return fs_write_all(exchange->out_fd, bytes, size, &transfer->error) == STATUS_OK;
}

static bool store_in_buf(struct transfer *transfer, const char *bytes, size_t size)
{
    struct buf *body = transfer->exchange->out_body;
    if (body == NULL)
        return true; /* nobody wants it */
    buf_append(body, bytes, size);
    return buf_status(body, "answer", &transfer->error) == STATUS_OK;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct http_exchange *exchange = transfer->exchange;
    const size_t size = unit * count;
    bool fine = true;
    if (!is_success(transfer)) {
        fine = store_in_buf(transfer, bytes, size);
    } else if (exchange->chunk != NULL) {
        fine = exchange->chunk(exchange->chunk_context, bytes, size);
        if (!fine)
            (void)error_set(&transfer->error, STATUS_UNAVAILABLE, "stopped by the receiver");
    } else if (exchange->out_fd_bytes_max > 0) {
        fine = store_in_fd(transfer, bytes, size);
    } else {
        fine = store_in_buf(transfer, bytes, size);
    }
    return fine ? size : 0; /* a short count ends the transfer */
}

static size_t on_body_wanted(char *out, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    const struct http_exchange *exchange = transfer->exchange;
    const uint64_t left = exchange->body_fd_bytes - transfer->sent;
    const size_t wanted = unit * count < left ? unit * count : (size_t)left;
    if (fs_pread_all(exchange->body_fd, out, wanted, (off_t)transfer->sent, &transfer->error) !=
        STATUS_OK)
        return CURL_READFUNC_ABORT;
    transfer->sent += wanted;
    return wanted;
}

/* libcurl rewinds when a kept-alive connection turns out to be closed. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct transfer *transfer = context;
    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_FAIL;
    transfer->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* The value of header `name` in `line`, trimmed, if this is that header. */
static bool header_value(const char *line, const char *name, char *out, size_t out_bytes)
{
    const size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return false;
    const char *value = line + length + 1;
    value += strspn(value, " \t");
    size_t end = strlen(value);
    while (end > 0 && strchr(" \t\r\n", value[end - 1]) != NULL)
        end--;
    if (end >= out_bytes)
        return false; /* not one of ours */
    memcpy(out, value, end);
    out[end] = '\0';
    return true;
}

static void read_status_line(const char *line, struct http_exchange *exchange)
{
    const char *code = strchr(line, ' ');
    exchange->out_code = code == NULL ? 0 : strtol(code, NULL, 10);
    exchange->out_etag[0] = '\0';
    exchange->out_location[0] = '\0';
    exchange->out_retry_after_s = 0;
    exchange->out_replayed = false;
}

static size_t on_header(char *bytes, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct http_exchange *exchange = transfer->exchange;
    const size_t size = unit * count;
    char line[HEADER_BYTES_MAX];
    char word[24];
    if (size >= sizeof(line))
        return size;
    memcpy(line, bytes, size);
    line[size] = '\0';
    if (strncmp(line, "HTTP/", strlen("HTTP/")) == 0) {
        read_status_line(line, exchange); /* also after "100 Continue": start anew */
        return size;
    }
    (void)header_value(line, "ETag", exchange->out_etag, sizeof(exchange->out_etag));
    (void)header_value(line, "Location", exchange->out_location, sizeof(exchange->out_location));
    if (header_value(line, "Retry-After", word, sizeof(word))) {
        const long seconds = strtol(word, NULL, 10); /* a date reads as a small number or 0 */
        exchange->out_retry_after_s = seconds > 0 && seconds < RETRY_AFTER_MAX_S ? seconds : 0;
    }
    if (header_value(line, "Idempotency-Replayed", word, sizeof(word)))
        exchange->out_replayed = strcasecmp(word, "true") == 0;
    return size;
}

/* ------------------------------------------------------------------ setting up */

static void slist_cleanup(struct curl_slist *const *list)
{
    curl_slist_free_all(*list);
}

static enum status add_header(struct curl_slist **list, const char *header, struct error *err)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (longer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for request headers");
    *list = longer;
    return STATUS_OK;
}

static enum status add_named_header(struct curl_slist **list, const char *name, const char *value,
                                    struct error *err)
{
    char line[HEADER_BYTES_MAX];
    const int length = snprintf(line, sizeof(line), "%s: %s", name, value);
    if (length < 0 || (size_t)length >= sizeof(line))
        return error_set(err, STATUS_TOO_LARGE, "header %s is over %d bytes", name,
                         HEADER_BYTES_MAX);
    return add_header(list, line, err);
}

static enum status make_headers(const struct http_client *client,
                                const struct http_exchange *exchange, struct curl_slist **out,
                                struct error *err)
{
    const bool has_body = exchange->body_bytes > 0 || exchange->body_fd_bytes > 0;
    TRY(add_header(out, "Expect:", err)); /* no round trip before a body */
    if (client->token != NULL) {
        char bearer[HEADER_BYTES_MAX];
        TRY(fs_path(bearer, sizeof(bearer), err, "Bearer %s", client->token));
        TRY(add_named_header(out, "Authorization", bearer, err));
    }
    if (exchange->content_type != NULL)
        TRY(add_named_header(out, "Content-Type", exchange->content_type, err));
    else if (has_body)
        TRY(add_named_header(out, "Content-Type", "application/json", err));
    else
        TRY(add_header(out, "Content-Type:", err)); /* not libcurl's form data */
    for (size_t i = 0; exchange->headers != NULL && exchange->headers[i] != NULL; i++)
        TRY(add_header(out, exchange->headers[i], err));
    return STATUS_OK;
}

static void set_body(CURL *easy, struct transfer *transfer)
{
    const struct http_exchange *exchange = transfer->exchange;
    if (exchange->body_fd_bytes > 0) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)exchange->body_fd_bytes);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_wanted);
        curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
    } else if (exchange->body != NULL || strcmp(exchange->method, "GET") != 0) {
        /* Borrowed until the exchange ends; without bytes it sends "Content-Length: 0". */
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body != NULL ? exchange->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, exchange->method);
}

/* curl_easy_reset() keeps the connections, which belong to the multi handle, but no option. */
static void set_options(struct transfer *transfer, const char *url, struct curl_slist *headers)
{
    struct http_client *client = transfer->client;
    CURL *easy = client->easy;
    curl_easy_reset(easy);
    client->reason[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* libraries do not read the environment */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->reason);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)transfer->exchange->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    set_body(easy, transfer);
}

/* ------------------------------------------------------------------ running */

/* Runs the exchange to its end, or until another thread aborts it. */
static CURLcode run(struct http_client *client)
{
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int running = 1;
    while (!atomic_load(&client->aborted)) {
        if (curl_multi_perform(client->multi, &running) != CURLM_OK) {
            result = CURLE_FAILED_INIT;
            break;
        }
        if (running == 0) {
            int left = 0;
            const CURLMsg *message = curl_multi_info_read(client->multi, &left);
            result = message != NULL ? message->data.result : CURLE_FAILED_INIT;
            break;
        }
        (void)curl_multi_poll(client->multi, NULL, 0, POLL_MS_MAX, NULL);
    }
    (void)curl_multi_remove_handle(client->multi, client->easy);
    return result;
}

static enum status failure(const struct transfer *transfer, CURLcode result, const char *url,
                           struct error *err)
{
    const struct http_client *client = transfer->client;
    const struct http_exchange *exchange = transfer->exchange;
    char shown[URL_SHOWN_BYTES];
    (void)text_copy(shown, sizeof(shown), url);
    if (transfer->error.status != STATUS_OK)
        return error_set(err, transfer->error.status, "%s %s: %s", exchange->method, shown,
                         transfer->error.text);
    if (atomic_load(&client->aborted))
        return error_set(err, STATUS_UNAVAILABLE, "%s %s: aborted", exchange->method, shown);
    const char *reason = client->reason[0] != '\0' ? client->reason : curl_easy_strerror(result);
    const enum status status = result == CURLE_OUT_OF_MEMORY   ? STATUS_NO_MEMORY
                               : result == CURLE_URL_MALFORMAT ? STATUS_INVALID
                                                               : STATUS_UNAVAILABLE;
    return error_set(err, status, "%s %s: %s", exchange->method, shown, reason);
}

enum status http_client_send(struct http_client *client, struct http_exchange *exchange,
                             struct error *err)
{
    char url[URL_BYTES_MAX];
    TRY(fs_path(url, sizeof(url), err, "%s%s", client->base_url, exchange->path));
    CLEANUP(slist_cleanup) struct curl_slist *headers = NULL;
    TRY(make_headers(client, exchange, &headers, err));
    struct transfer transfer = {.client = client, .exchange = exchange};
    exchange->out_code = 0;
    set_options(&transfer, url, headers);
    const CURLcode result = run(client);
    if (result != CURLE_OK || exchange->out_code == 0)
        return failure(&transfer, result, url, err);
    return STATUS_OK;
}

void url_append_escaped(struct buf *out, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    for (; *text != '\0'; text++) {
        if (strchr(unreserved, *text) != NULL)
            buf_append(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}
