#include "service/http/auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

#define BUCKETS       4096
#define ADDRESSES     1024 /* failing addresses that are remembered; the oldest makes room */
#define ADDRESS_BYTES 16
#define ID_TAIL_BYTES 22

struct entry {
    struct entry *next;
    struct auth_token token;
};

struct failures {
    uint8_t address[ADDRESS_BYTES];
    int64_t since_mono_ms;
    unsigned count; /* 0: free */
};

struct auth {
    pthread_rwlock_t lock; /* guards buckets and count */
    struct entry *buckets[BUCKETS];
    size_t count;
    pthread_mutex_t failures_lock;
    struct failures failures[ADDRESSES];
};

static size_t bucket_of(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return (size_t)(hash >> 20) % BUCKETS;
}

enum status auth_new(struct auth **out, struct error *err)
{
    struct auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL)
        return error_set(err, STATUS_NO_MEMORY, "table of tokens: out of memory");
    pthread_rwlock_init(&auth->lock, NULL);
    pthread_mutex_init(&auth->failures_lock, NULL);
    *out = auth;
    return STATUS_OK;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (auth->buckets[i] != NULL) {
            struct entry *entry = auth->buckets[i];
            auth->buckets[i] = entry->next;
            free(entry);
        }
    }
    pthread_mutex_destroy(&auth->failures_lock);
    pthread_rwlock_destroy(&auth->lock);
    free(auth);
}

void auth_cleanup(struct auth **auth)
{
    auth_free(*auth);
}

/* The link that points at the entry with this id, or at the end of its bucket. */
static struct entry **find(struct auth *auth, const char *id)
{
    struct entry **link = &auth->buckets[bucket_of(id)];
    while (*link != NULL && strcmp((*link)->token.id, id) != 0)
        link = &(*link)->next;
    return link;
}

enum status auth_put(struct auth *auth, const struct auth_token *token, struct error *err)
{
    struct entry *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return error_set(err, STATUS_NO_MEMORY, "token %s: out of memory", token->id);
    fresh->token = *token;

    pthread_rwlock_wrlock(&auth->lock);
    struct entry **link = find(auth, token->id);
    const bool full = *link == NULL && auth->count >= AUTH_TOKENS_MAX;
    if (*link != NULL) {
        (*link)->token = *token;
    } else if (!full) {
        *link = TAKE(fresh);
        auth->count++;
    }
    pthread_rwlock_unlock(&auth->lock);
    free(fresh);
    if (full)
        return error_set(err, STATUS_NO_SPACE, "token %s: there are %d tokens already", token->id,
                         AUTH_TOKENS_MAX);
    return STATUS_OK;
}

void auth_remove(struct auth *auth, const char *id)
{
    pthread_rwlock_wrlock(&auth->lock);
    struct entry **link = find(auth, id);
    struct entry *gone = *link;
    if (gone != NULL) {
        *link = gone->next;
        auth->count--;
    }
    pthread_rwlock_unlock(&auth->lock);
    free(gone);
}

bool auth_is_valid(struct auth *auth, const char *id, int64_t wall_ms)
{
    pthread_rwlock_rdlock(&auth->lock);
    const struct entry *entry = *find(auth, id);
    const bool valid =
        entry != NULL && (entry->token.expires_at_ms == 0 || wall_ms < entry->token.expires_at_ms);
    pthread_rwlock_unlock(&auth->lock);
    return valid;
}

void auth_secret_sha256(const char *secret, uint8_t out[SHA256_BYTES])
{
    sha256_of(secret, strlen(secret), out);
}

void auth_text_new(const char *role, int64_t wall_ms, char out_text[AUTH_TOKEN_BYTES],
                   char out_id[ID_BYTES_MAX], uint8_t out_sha256[SHA256_BYTES])
{
    uint8_t bytes[AUTH_SECRET_BYTES];
    char secret[2 * AUTH_SECRET_BYTES + 1];
    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), secret);
    id_format(out_id, AUTH_ID_PREFIX, wall_ms, random_u64());
    snprintf(out_text, AUTH_TOKEN_BYTES, "rp_%s_%s_%s", role, out_id + strlen(AUTH_ID_PREFIX) + 1,
             secret);
    auth_secret_sha256(secret, out_sha256);
}

bool auth_text_parse(const char *text, struct auth_text *out)
{
    *out = (struct auth_text){0};
    if (strnlen(text, AUTH_TOKEN_BYTES) >= AUTH_TOKEN_BYTES || strncmp(text, "rp_", 3) != 0)
        return false;
    const char *role = text + 3;
    const size_t role_bytes = strcspn(role, "_");
    if (role_bytes == 0 || role_bytes >= sizeof(out->role) || role[role_bytes] != '_')
        return false;
    const char *id = role + role_bytes + 1;
    const size_t id_bytes = strcspn(id, "_");
    if (id_bytes != ID_TAIL_BYTES || id[id_bytes] != '_')
        return false;
    const char *secret = id + id_bytes + 1;
    if (strlen(secret) != 2 * AUTH_SECRET_BYTES)
        return false;
    memcpy(out->role, role, role_bytes);
    snprintf(out->id, sizeof(out->id), "%s_%.*s", AUTH_ID_PREFIX, ID_TAIL_BYTES, id);
    memcpy(out->secret, secret, 2 * AUTH_SECRET_BYTES);
    return true;
}

/* IPv4 as its mapped IPv6 form, so that one key serves both. */
static void address_of(const struct sockaddr *peer, uint8_t out[ADDRESS_BYTES])
{
    memset(out, 0, ADDRESS_BYTES);
    if (peer != NULL && peer->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, ADDRESS_BYTES);
    } else if (peer != NULL && peer->sa_family == AF_INET) {
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    }
}

/* Counts a wrong credential; true if this address has had too many within the span. */
static bool count_failure(struct auth *auth, const struct sockaddr *peer, int64_t mono_ms)
{
    uint8_t address[ADDRESS_BYTES];
    address_of(peer, address);
    pthread_mutex_lock(&auth->failures_lock);
    struct failures *oldest = &auth->failures[0];
    struct failures *mine = NULL;
    for (size_t i = 0; i < ADDRESSES && mine == NULL; i++) {
        struct failures *row = &auth->failures[i];
        if (row->count > 0 && memcmp(row->address, address, ADDRESS_BYTES) == 0)
            mine = row;
        else if (row->count == 0 || row->since_mono_ms < oldest->since_mono_ms)
            oldest = oldest->count == 0 ? oldest : row;
    }
    if (mine == NULL) {
        mine = oldest;
        mine->count = 0;
        memcpy(mine->address, address, ADDRESS_BYTES);
    }
    if (mine->count == 0 || mono_ms - mine->since_mono_ms >= AUTH_FAILURE_SPAN_MS) {
        mine->since_mono_ms = mono_ms;
        mine->count = 0;
    }
    const bool too_many = mine->count >= AUTH_FAILURES_MAX;
    if (!too_many)
        mine->count++;
    pthread_mutex_unlock(&auth->failures_lock);
    return too_many;
}

/* Copies the token with this id, or one that nothing matches. */
static bool copy_token(struct auth *auth, const char *id, struct auth_token *out)
{
    pthread_rwlock_rdlock(&auth->lock);
    const struct entry *entry = *find(auth, id);
    if (entry != NULL)
        *out = entry->token;
    else
        *out = (struct auth_token){.secret_sha256 = {0}};
    pthread_rwlock_unlock(&auth->lock);
    return entry != NULL;
}

static bool credential_is_right(struct auth *auth, const char *authorization, int64_t wall_ms,
                                struct auth_token *out)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    struct auth_text text;
    if (!auth_text_parse(authorization + sizeof(scheme) - 1, &text))
        return false;
    struct auth_token token;
    const bool known = copy_token(auth, text.id, &token);
    uint8_t digest[SHA256_BYTES];
    auth_secret_sha256(text.secret, digest);
    const bool same = bytes_equal_constant_time(digest, token.secret_sha256, SHA256_BYTES);
    if (!known || !same || strcmp(text.role, role_names[token.role]) != 0)
        return false;
    if (token.expires_at_ms != 0 && wall_ms >= token.expires_at_ms)
        return false;
    *out = token;
    return true;
}

enum status auth_check(struct auth *auth, const char *authorization, const struct sockaddr *peer,
                       int64_t wall_ms, int64_t mono_ms, struct auth_token *out, struct error *err)
{
    if (authorization == NULL)
        return error_set(err, STATUS_DENIED, "expected Authorization: Bearer <token>, got none");
    if (credential_is_right(auth, authorization, wall_ms, out))
        return STATUS_OK;
    if (count_failure(auth, peer, mono_ms))
        return error_set(err, STATUS_BUSY,
                         "over %d wrong credentials from this address within %d s",
                         AUTH_FAILURES_MAX, AUTH_FAILURE_SPAN_MS / 1000);
    return error_set(err, STATUS_DENIED, "the token is unknown, wrong or expired");
}
