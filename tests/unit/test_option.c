#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/option.h"

enum profile { PROFILE_DEFAULT, PROFILE_FAST };
static const char *const profile_names[] = {"default", "fast", NULL};

struct config {
    const char *data;
    const char *listen;
    int64_t port;
    bool follow;
    bool color;
    int profile;
    struct option_list label;
};

static const struct option_row rows[] = {
    {"data", OPTION_TEXT, offsetof(struct config, data), .required = true, .value = "DIR",
     .help = "folder that holds the database", .environment = "REPRISE_TEST_DATA"},
    {"listen", OPTION_TEXT, offsetof(struct config, listen), .initial = "127.0.0.1:8484",
     .value = "ADDR", .help = "where to serve"},
    {"port-range", OPTION_INT, offsetof(struct config, port), .min = 1, .max = 65535,
     .initial = "80", .value = "N", .help = "a port", .letter = 'p'},
    {"follow", OPTION_FLAG, offsetof(struct config, follow), .help = "go on", .letter = 'f'},
    {"color", OPTION_FLAG, offsetof(struct config, color), .initial = "true",
     .help =
         "colours in the output, which is a long text that has to be broken into lines somewhere",
     .letter = 'c'},
    {"profile", OPTION_ENUM, offsetof(struct config, profile), .names = profile_names,
     .initial = "default", .value = "NAME", .help = "timing profile"},
    {"label", OPTION_LIST, offsetof(struct config, label), .value = "K=V", .help = "a label"},
    OPTION_END};

static const struct option_program program = {
    .name = "reprise-test",
    .synopsis = "--data DIR [options]",
    .about = "Does what tests need.",
    .rows = rows,
    .epilogue = "Example: reprise-test --data /tmp",
};

static const char *const environment[] = {
    "REPRISE_TEST_DATA", "REPRISE_LISTEN",    "REPRISE_PORT_RANGE", "REPRISE_FOLLOW",
    "REPRISE_COLOR",     "REPRISE_PROFILE",   "REPRISE_LABEL",      "REPRISE_CONFIG",
    "REPRISE_LOG_LEVEL", "REPRISE_LOG_FORMAT"};

static int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(environment); i++)
        (void)unsetenv(environment[i]);
    return 0;
}

/* One run of the parser: its outcome and what it said on stdout and stderr together. */
static char said[16 * KIB];
static int words;
static char *arguments[16];

static enum option_outcome parse(struct config *config, const char *const argv[])
{
    int argc = 0;
    for (; argv[argc] != NULL; argc++) {
        assert_true(argc < (int)COUNT_OF(arguments) - 1);
        arguments[argc] = (char *)(uintptr_t)argv[argc];
    }
    arguments[argc] = NULL;
    *config = (struct config){.port = 0};
    words = 0;
    char path[] = "/tmp/reprise-option-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    (void)fflush(stdout);
    const int out = dup(STDOUT_FILENO);
    const int err = dup(STDERR_FILENO);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    const enum option_outcome outcome = option_parse(&program, argc, arguments, config, &words);
    (void)fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    const ssize_t size = pread(fd, said, sizeof(said) - 1, 0);
    (void)close(fd);
    (void)close(out);
    (void)close(err);
    assert_true(size >= 0);
    said[size] = '\0';
    return outcome;
}

#define ARGV(...) ((const char *const[]){"reprise-test", __VA_ARGS__, NULL})

static void assert_refused(const char *const argv[], const char *message)
{
    struct config config;
    char expected[512];
    (void)snprintf(expected, sizeof(expected), "reprise-test: %s\nTry 'reprise-test --help'.\n",
                   message);
    assert_int_equal(parse(&config, argv), OPTION_EXIT_USAGE);
    assert_string_equal(said, expected);
}

static const char *write_file(const char *text)
{
    static char path[64];
    struct error err = {.status = STATUS_OK};
    (void)snprintf(path, sizeof(path), "/tmp/reprise-option-%d.json", (int)getpid());
    assert_ok(fs_replace_file(path, text, strlen(text), 0600, &err), &err);
    return path;
}

static void flags_are_read_in_both_forms(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(
        parse(&config, ARGV("--data", "/d", "--listen=:0", "-p", "81", "-f", "--no-color",
                            "--profile=fast", "--label", "a=b", "--label=c=d")),
        OPTION_RUN);
    assert_string_equal(said, "");
    assert_string_equal(config.data, "/d");
    assert_string_equal(config.listen, ":0");
    assert_int_equal(config.port, 81);
    assert_true(config.follow);
    assert_false(config.color);
    assert_int_equal(config.profile, PROFILE_FAST);
    assert_int_equal(config.label.count, 2);
    assert_string_equal(config.label.items[0], "a=b");
    assert_string_equal(config.label.items[1], "c=d");
}

static void defaults_fill_what_nobody_said(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(parse(&config, ARGV("--data", "/d")), OPTION_RUN);
    assert_string_equal(config.listen, "127.0.0.1:8484");
    assert_int_equal(config.port, 80);
    assert_false(config.follow);
    assert_true(config.color);
    assert_int_equal(config.profile, PROFILE_DEFAULT);
    assert_int_equal(config.label.count, 0);
}

static void letters_may_be_joined_and_take_values(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(parse(&config, ARGV("--data=/d", "-cfp8080")), OPTION_RUN);
    assert_true(config.follow);
    assert_int_equal(config.port, 8080);
}

static void other_words_are_kept_in_order(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(
        parse(&config, ARGV("submit", "--data", "/d", "-", "-f", "--", "--follow", "x")),
        OPTION_RUN);
    assert_int_equal(words, 4);
    assert_string_equal(arguments[1], "submit");
    assert_string_equal(arguments[2], "-");
    assert_string_equal(arguments[3], "--follow");
    assert_string_equal(arguments[4], "x");
}

static void a_flag_beats_the_environment_which_beats_the_file(void **state)
{
    (void)state;
    struct config config;
    const char *path =
        write_file("{\"data\":\"/file\",\"listen\":\"file\",\"port-range\":1000,"
                   "\"follow\":true,\"profile\":\"fast\",\"label\":[\"f=1\",\"f=2\"]}");
    (void)setenv("REPRISE_LISTEN", "environment", 1);
    (void)setenv("REPRISE_PORT_RANGE", "2000", 1);
    (void)setenv("REPRISE_FOLLOW", "no", 1);
    (void)setenv("REPRISE_LABEL", "e=1", 1);
    assert_int_equal(parse(&config, ARGV("--config", path, "-p", "3000")), OPTION_RUN);
    assert_string_equal(config.data, "/file");
    assert_string_equal(config.listen, "environment");
    assert_int_equal(config.port, 3000);
    assert_false(config.follow);
    assert_int_equal(config.profile, PROFILE_FAST);
    assert_int_equal(config.label.count, 1); /* the stronger list replaces the weaker */
    assert_string_equal(config.label.items[0], "e=1");
    (void)unlink(path);
}

static void the_file_may_be_named_by_the_environment(void **state)
{
    (void)state;
    struct config config;
    const char *path = write_file("{\"data\":\"/file\",\"log-level\":\"error\"}");
    (void)setenv("REPRISE_CONFIG", path, 1);
    assert_int_equal(parse(&config, ARGV("-f")), OPTION_RUN);
    assert_string_equal(config.data, "/file");
    (void)unlink(path);
}

static void an_empty_variable_is_no_value(void **state)
{
    (void)state;
    struct config config;
    (void)setenv("REPRISE_LISTEN", "", 1);
    assert_int_equal(parse(&config, ARGV("--data=/d")), OPTION_RUN);
    assert_string_equal(config.listen, "127.0.0.1:8484");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_refused(ARGV("-f"), "--data DIR is required (or REPRISE_TEST_DATA in the environment)");
    assert_refused(ARGV("--folow"), "unknown option --folow, did you mean --follow?");
    assert_refused(ARGV("--gpu=3"), "unknown option --gpu");
    assert_refused(ARGV("-x"), "unknown option -x");
    assert_refused(ARGV("--data"), "--data: expected DIR, got nothing");
    assert_refused(ARGV("--data", "--follow"), "--data: expected DIR, got --follow");
    assert_refused(ARGV("-p"), "-p: expected N, got nothing");
    assert_refused(ARGV("-p", "0"), "-p: expected integer 1..65535, got \"0\"");
    assert_refused(ARGV("--port-range=12x"),
                   "--port-range: expected integer 1..65535, got \"12x\"");
    assert_refused(ARGV("--port-range="), "--port-range: expected integer 1..65535, got \"\"");
    assert_refused(ARGV("--profile", "slow"), "--profile: expected default or fast, got \"slow\"");
    assert_refused(ARGV("--follow=maybe"), "--follow: expected true or false, got \"maybe\"");
    assert_refused(ARGV("--no-data"), "unknown option --no-data");
    assert_refused(ARGV("--no-follow=true"), "unknown option --no-follow");
}

static void mistakes_in_the_environment_name_the_variable(void **state)
{
    (void)state;
    (void)setenv("REPRISE_PORT_RANGE", "many", 1);
    assert_refused(ARGV("--data=/d"),
                   "REPRISE_PORT_RANGE: expected integer 1..65535, got \"many\"");
}

static void mistakes_in_the_file_name_file_and_place(void **state)
{
    (void)state;
    char message[256];
    const char *path = write_file("{\"data\":7,\"folow\":true,\"label\":[1]}");
    (void)snprintf(message, sizeof(message),
                   "%s: /folow: unknown field, did you mean \"follow\"? (and 2 more problems)",
                   path);
    assert_refused(ARGV("--config", path), message);
    path = write_file("{\"profile\":\"slow\"}");
    (void)snprintf(message, sizeof(message), "%s: /profile: expected default or fast, got \"slow\"",
                   path);
    assert_refused(ARGV("--config", path), message);
    path = write_file("{");
    assert_int_equal(parse(&(struct config){.port = 0}, ARGV("--config", path)), OPTION_EXIT_USAGE);
    assert_non_null(strstr(said, ": line 1, column 1: "));
    (void)unlink(path);
    (void)snprintf(message, sizeof(message), "open %s: No such file or directory", path);
    assert_refused(ARGV("--config", path), message);
}

static void too_many_values_of_a_list_are_refused(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 4096);
    buf_append_text(&text, "{\"label\":[\"0\"");
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        buf_append_text(&text, ",\"x\"");
    buf_append_text(&text, "]}");
    char message[256];
    const char *path = write_file(text.data);
    (void)snprintf(message, sizeof(message),
                   "%s: /label: expected array of at most 32, got array of 33", path);
    assert_refused(ARGV("--config", path), message);
    (void)unlink(path);
}

static void help_comes_from_the_table(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(parse(&config, ARGV("--help")), OPTION_EXIT_OK); /* --data is not asked for */
    static const char *const parts[] = {
        "Usage: reprise-test --data DIR [options]\n\nDoes what tests need.\n\nOptions:\n",
        ("      --data DIR              folder that holds the database (required) (or "
         "REPRISE_TEST_DATA)\n"),
        "      --listen ADDR           where to serve (default 127.0.0.1:8484)\n",
        "  -p, --port-range N          a port (default 80)\n",
        "  -f, --follow                go on\n",
        "      --profile NAME          timing profile: default or fast (default default)\n",
        "      --label K=V             a label (may be repeated)\n",
        "has to be broken\n                              into lines somewhere (default true)\n",
        "      --log-level LEVEL ",
        "\nExample: reprise-test --data /tmp\n",
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (strstr(said, parts[i]) == NULL)
            fail_msg("no \"%s\" in:\n%s", parts[i], said);
    }
    assert_int_equal(parse(&config, ARGV("-h")), OPTION_EXIT_OK);
    assert_int_equal(parse(&config, ARGV("--version")), OPTION_EXIT_OK);
    assert_string_equal(said, "reprise-test 0.1.0\n");
}

#define CLEAN(test) cmocka_unit_test_setup(test, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(flags_are_read_in_both_forms),
        CLEAN(defaults_fill_what_nobody_said),
        CLEAN(letters_may_be_joined_and_take_values),
        CLEAN(other_words_are_kept_in_order),
        CLEAN(a_flag_beats_the_environment_which_beats_the_file),
        CLEAN(the_file_may_be_named_by_the_environment),
        CLEAN(an_empty_variable_is_no_value),
        CLEAN(mistakes_are_named),
        CLEAN(mistakes_in_the_environment_name_the_variable),
        CLEAN(mistakes_in_the_file_name_file_and_place),
        CLEAN(too_many_values_of_a_list_are_refused),
        CLEAN(help_comes_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
