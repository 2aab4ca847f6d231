#include "base/option.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/option_private.h"
#include "base/text.h"
#include "base/version.h"

#define CONFIG_BYTES_MAX ((size_t)256 * KIB)

/* What every program has besides its own rows. */
struct common {
    bool help;
    bool version;
    int log_level;
    int log_format;
    const char *config;
};

static const char *const log_level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};

const struct option_row option_common_rows[] = {
    {"config", OPTION_TEXT, offsetof(struct common, config), .value = "FILE",
     .help = "JSON object with values for these options"},
    {"log-level", OPTION_ENUM, offsetof(struct common, log_level), .names = log_level_words,
     .initial = "info", .value = "LEVEL", .help = "what is worth a line"},
    {"log-format", OPTION_ENUM, offsetof(struct common, log_format), .names = log_format_words,
     .initial = "text", .value = "FORMAT", .help = "form of the lines on stderr"},
    {"help", OPTION_FLAG, offsetof(struct common, help), .help = "print this and exit",
     .environment = ""},
    {"version", OPTION_FLAG, offsetof(struct common, version), .help = "print the version and exit",
     .environment = ""},
    OPTION_END};

/* Where a value comes from, weakest first. */
enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct setting {
    const struct option_row *row;
    void *base; /* struct that row->offset counts in */
    enum source source;
};

struct parse {
    const struct option_program *program;
    struct common common;
    size_t count;
    struct setting settings[OPTION_ROWS_MAX];
};

static void add_rows(struct parse *parse, const struct option_row *rows, void *base)
{
    for (; rows->name != NULL; rows++) {
        assert(parse->count < OPTION_ROWS_MAX);
        parse->settings[parse->count++] = (struct setting){.row = rows, .base = base};
    }
}

static void *field_of(const struct setting *setting)
{
    return (char *)setting->base + setting->row->offset;
}

/* ------------------------------------------------------------------ values */

static enum status parse_bool(const char *where, const char *text, bool *out, struct error *err)
{
    static const char *const yes[] = {"true", "1", "yes", "on", NULL};
    static const char *const no[] = {"false", "0", "no", "off", NULL};
    for (size_t i = 0; yes[i] != NULL; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_INVALID, "%s: expected true or false, got \"%s\"", where, text);
}

static enum status parse_int(const struct option_row *row, const char *where, const char *text,
                             int64_t *out, struct error *err)
{
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    const bool whole = end != text && *end == '\0' && errno == 0 && !isspace((unsigned char)*text);
    if (!whole || value < row->min || value > row->max)
        return error_set(err, STATUS_INVALID, "%s: expected integer %jd..%jd, got \"%s\"", where,
                         (intmax_t)row->min, (intmax_t)row->max, text);
    *out = value;
    return STATUS_OK;
}

static enum status parse_enum(const struct option_row *row, const char *where, const char *text,
                              int *out, struct error *err)
{
    for (int i = 0; row->names[i] != NULL; i++) {
        if (strcmp(row->names[i], text) == 0) {
            *out = i;
            return STATUS_OK;
        }
    }
    char words[160];
    option_join_names(row->names, words, sizeof(words));
    return error_set(err, STATUS_INVALID, "%s: expected %s, got \"%s\"", where, words, text);
}

static enum status append_item(const struct setting *setting, enum source source, const char *where,
                               const char *text, struct error *err)
{
    struct option_list *list = field_of(setting);
    if (setting->source != source)
        list->count = 0;
    if (list->count == OPTION_LIST_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: over %d values", where, OPTION_LIST_MAX);
    list->items[list->count++] = text;
    return STATUS_OK;
}

/* Stores `text`; `where` is how the source names the option: "--data", "REPRISE_DATA". */
static enum status store(struct setting *setting, enum source source, const char *where,
                         const char *text, struct error *err)
{
    const struct option_row *row = setting->row;
    assert(text != NULL);
    switch (row->kind) {
    case OPTION_FLAG:
        TRY(parse_bool(where, text, field_of(setting), err));
        break;
    case OPTION_TEXT:
        *(const char **)field_of(setting) = text;
        break;
    case OPTION_INT:
        TRY(parse_int(row, where, text, field_of(setting), err));
        break;
    case OPTION_ENUM:
        TRY(parse_enum(row, where, text, field_of(setting), err));
        break;
    case OPTION_LIST:
        TRY(append_item(setting, source, where, text, err));
        break;
    }
    setting->source = source;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ sources */

static enum status apply_defaults(struct parse *parse, struct error *err)
{
    for (size_t i = 0; i < parse->count; i++) {
        struct setting *setting = &parse->settings[i];
        if (setting->row->initial != NULL)
            TRY(store(setting, SOURCE_DEFAULT, setting->row->name, setting->row->initial, err));
    }
    return STATUS_OK;
}

static enum status apply_environment(struct parse *parse, struct error *err)
{
    for (size_t i = 0; i < parse->count; i++) {
        struct setting *setting = &parse->settings[i];
        char name[OPTION_ENVIRONMENT_BYTES];
        option_environment_name(setting->row, name);
        const char *text = name[0] == '\0' ? NULL : getenv(name);
        if (text != NULL && text[0] != '\0' && setting->source < SOURCE_FLAG)
            TRY(store(setting, SOURCE_ENVIRONMENT, name, text, err));
    }
    return STATUS_OK;
}

/* The file's texts are borrowed for the life of the process, so its document is kept here. */
static json_t *kept_documents;

static enum status load_file(const char *path, json_t **out, struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CONFIG_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    json_t *document = NULL;
    struct error reason = {.status = STATUS_OK};
    if (json_parse(text.data, text.size, &document, &reason) != STATUS_OK)
        return error_set(err, reason.status, "%s: %s", path, reason.text);
    if (kept_documents == NULL)
        kept_documents = json_array();
    (void)json_array_append_new(kept_documents, document);
    *out = document;
    return STATUS_OK;
}

/* One value of the file. Numbers take the way of a text, so that limits are checked once. */
static enum status store_json(struct setting *setting, const struct json_at *at, const char *where,
                              struct error *err)
{
    const struct option_row *row = setting->row;
    if (row->kind == OPTION_LIST) {
        size_t count = 0;
        if (!json_get_array(at, OPTION_LIST_MAX, &count))
            return STATUS_OK;
        for (size_t i = 0; i < count; i++) {
            const struct json_at item = json_at_index(at, i);
            const char *text = NULL;
            if (json_get_string(&item, CONFIG_BYTES_MAX, &text))
                TRY(store(setting, SOURCE_FILE, where, text, err));
        }
        return STATUS_OK;
    }
    if (row->kind == OPTION_INT) {
        if (json_get_int(at, row->min, row->max, field_of(setting)))
            setting->source = SOURCE_FILE;
        return STATUS_OK;
    }
    if (row->kind == OPTION_FLAG) {
        if (json_get_bool(at, field_of(setting)))
            setting->source = SOURCE_FILE;
        return STATUS_OK;
    }
    const char *text = NULL;
    if (!json_get_string(at, CONFIG_BYTES_MAX, &text))
        return STATUS_OK;
    return store(setting, SOURCE_FILE, where, text, err);
}

static enum status apply_file(struct parse *parse, struct error *err)
{
    const char *path = parse->common.config;
    if (path == NULL)
        return STATUS_OK;
    json_t *document = NULL;
    TRY(load_file(path, &document, err));
    const char *known[OPTION_ROWS_MAX + 1] = {NULL};
    for (size_t i = 0; i < parse->count; i++)
        known[i] = parse->settings[i].row->name;
    struct json_problems problems = {.count = 0};
    const struct json_at root = json_at_root(document, &problems);
    const bool is_object = json_get_object(&root, known);
    for (size_t i = 0; i < parse->count && is_object; i++) {
        struct setting *setting = &parse->settings[i];
        const struct json_at at = json_at_key(&root, setting->row->name);
        char where[OPTION_ENVIRONMENT_BYTES + 256];
        (void)snprintf(where, sizeof(where), "%s: /%s", path, setting->row->name);
        if (json_present(&at) && setting->source < SOURCE_ENVIRONMENT)
            TRY(store_json(setting, &at, where, err));
    }
    struct error reason = {.status = STATUS_OK};
    if (json_problems_status(&problems, &reason) != STATUS_OK)
        return error_set(err, reason.status, "%s: %s", path, reason.text);
    return STATUS_OK;
}

static struct setting *find_name(struct parse *parse, const char *name, size_t length)
{
    for (size_t i = 0; i < parse->count; i++) {
        const char *candidate = parse->settings[i].row->name;
        if (strlen(candidate) == length && strncmp(candidate, name, length) == 0)
            return &parse->settings[i];
    }
    return NULL;
}

static struct setting *find_letter(struct parse *parse, char letter)
{
    for (size_t i = 0; i < parse->count; i++) {
        if (parse->settings[i].row->letter == letter)
            return &parse->settings[i];
    }
    return letter == 'h' ? find_name(parse, "help", strlen("help")) : NULL;
}

static enum status refuse_unknown(const struct parse *parse, const char *word, struct error *err)
{
    const char *names[OPTION_ROWS_MAX + 1] = {NULL};
    for (size_t i = 0; i < parse->count; i++)
        names[i] = parse->settings[i].row->name;
    char name[64];
    (void)text_copy(name, sizeof(name), word + strspn(word, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *closest = text_closest(names, name);
    if (closest != NULL && word[1] == '-')
        return error_set(err, STATUS_INVALID, "unknown option --%s, did you mean --%s?", name,
                         closest);
    return error_set(err, STATUS_INVALID, "unknown option %s%s", word[1] == '-' ? "--" : "-", name);
}

/* The command line while it is walked. */
struct walk {
    int argc;
    char **argv;
    int next;  /* index of the next word to read */
    int words; /* words kept so far, at argv[1..words] */
};

/* The value of an option that has none attached: the next word. */
static enum status take_value(struct walk *walk, const struct option_row *row, const char *where,
                              const char **out, struct error *err)
{
    const char *next = walk->next < walk->argc ? walk->argv[walk->next] : NULL;
    const char *value = row->value != NULL ? row->value : "VALUE";
    if (next == NULL)
        return error_set(err, STATUS_INVALID, "%s: expected %s, got nothing", where, value);
    if (strncmp(next, "--", 2) == 0)
        return error_set(err, STATUS_INVALID, "%s: expected %s, got %s", where, value, next);
    walk->next++;
    *out = next;
    return STATUS_OK;
}

/* "--name", "--name=value" or "--no-name". */
static enum status apply_long(struct parse *parse, struct walk *walk, const char *word,
                              struct error *err)
{
    const char *name = word + 2;
    const size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    struct setting *setting = find_name(parse, name, length);
    const bool negated = setting == NULL && value == NULL && strncmp(name, "no-", 3) == 0;
    if (negated) {
        setting = find_name(parse, name + 3, length - 3);
        if (setting == NULL || setting->row->kind != OPTION_FLAG)
            return refuse_unknown(parse, word, err);
        value = "false";
    }
    if (setting == NULL)
        return refuse_unknown(parse, word, err);
    char where[OPTION_ENVIRONMENT_BYTES];
    (void)snprintf(where, sizeof(where), "--%s", setting->row->name);
    if (value == NULL && setting->row->kind == OPTION_FLAG)
        value = "true";
    if (value == NULL)
        TRY(take_value(walk, setting->row, where, &value, err));
    return store(setting, SOURCE_FLAG, where, value, err);
}

/* "-f", "-fj" (flags together), "-n 5" or "-n5". */
static enum status apply_short(struct parse *parse, struct walk *walk, const char *word,
                               struct error *err)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        struct setting *setting = find_letter(parse, *letter);
        if (setting == NULL)
            return refuse_unknown(parse, word, err);
        const char where[] = {'-', *letter, '\0'};
        if (setting->row->kind == OPTION_FLAG) {
            TRY(store(setting, SOURCE_FLAG, where, "true", err));
            continue;
        }
        const char *value = letter + 1;
        if (*value == '\0')
            TRY(take_value(walk, setting->row, where, &value, err));
        return store(setting, SOURCE_FLAG, where, value, err);
    }
    return STATUS_OK;
}

static enum status apply_arguments(struct parse *parse, struct walk *walk, struct error *err)
{
    bool only_words = false;
    while (walk->next < walk->argc) {
        char *word = walk->argv[walk->next++];
        if (only_words || word[0] != '-' || word[1] == '\0')
            walk->argv[++walk->words] = word;
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else if (word[1] == '-')
            TRY(apply_long(parse, walk, word, err));
        else
            TRY(apply_short(parse, walk, word, err));
    }
    return STATUS_OK;
}

static enum status check_required(const struct parse *parse, struct error *err)
{
    for (size_t i = 0; i < parse->count; i++) {
        const struct option_row *row = parse->settings[i].row;
        if (!row->required || parse->settings[i].source != SOURCE_NONE)
            continue;
        char name[OPTION_ENVIRONMENT_BYTES];
        option_environment_name(row, name);
        return error_set(err, STATUS_INVALID, "--%s %s is required%s%s%s", row->name,
                         row->value != NULL ? row->value : "", name[0] != '\0' ? " (or " : "", name,
                         name[0] != '\0' ? " in the environment)" : "");
    }
    return STATUS_OK;
}

/*
 * Flags are read first because they say which file to read and whether only help is wanted; the
 * ranks of the sources see to it that weaker ones do not overwrite them.
 */
static enum status apply_sources(struct parse *parse, struct walk *walk, struct error *err)
{
    TRY(apply_defaults(parse, err));
    TRY(apply_arguments(parse, walk, err));
    if (parse->common.help || parse->common.version)
        return STATUS_OK;
    TRY(apply_environment(parse, err));
    TRY(apply_file(parse, err));
    return check_required(parse, err);
}

enum option_outcome option_parse(const struct option_program *program, int argc, char **argv,
                                 void *config, int *out_words)
{
    struct parse parse = {.program = program};
    add_rows(&parse, program->rows, config);
    add_rows(&parse, option_common_rows, &parse.common);
    struct walk walk = {.argc = argc, .argv = argv, .next = 1};
    struct error err = {.status = STATUS_OK};
    if (apply_sources(&parse, &walk, &err) != STATUS_OK) {
        (void)fprintf(stderr, "%s: %s\nTry '%s --help'.\n", program->name, err.text, program->name);
        return OPTION_EXIT_USAGE;
    }
    if (parse.common.help) {
        option_print_help(program);
        return OPTION_EXIT_OK;
    }
    if (parse.common.version) {
        (void)printf("%s %s\n", program->name, REPRISE_VERSION);
        return OPTION_EXIT_OK;
    }
    log_setup(program->name, (enum log_level)parse.common.log_level, parse.common.log_format == 1);
    if (out_words != NULL)
        *out_words = walk.words;
    return OPTION_RUN;
}
