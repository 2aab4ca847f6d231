/* option_help.c - what --help says, from the same table that is parsed. */

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/option_private.h"

#define HELP_COLUMN 30 /* where the texts start */
#define HELP_WIDTH  96

void option_environment_name(const struct option_row *row, char out[OPTION_ENVIRONMENT_BYTES])
{
    if (row->environment != NULL) {
        (void)snprintf(out, OPTION_ENVIRONMENT_BYTES, "%s", row->environment);
        return;
    }
    const int length = snprintf(out, OPTION_ENVIRONMENT_BYTES, "REPRISE_%s", row->name);
    assert(length > 0 && length < OPTION_ENVIRONMENT_BYTES);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

void option_join_names(const char *const names[], char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; names[i] != NULL && used < out_bytes - 1; i++) {
        const char *separator = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", separator, names[i]);
    }
}

/* Prints `text` from column HELP_COLUMN on, broken between words. */
static void print_wrapped(const char *text, size_t column)
{
    while (*text != '\0') {
        const size_t word = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + word > HELP_WIDTH) {
            (void)printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            (void)putchar(' ');
            column++;
        }
        (void)printf("%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    (void)putchar('\n');
}

/* The row's help, and what its other members say; a help that tells the default itself has the last word. */
static void describe_row(const struct option_row *row, char *out, size_t out_bytes)
{
    char words[160] = "";
    if (row->kind == OPTION_ENUM)
        option_join_names(row->names, words, sizeof(words));
    const char *initial = strstr(row->help, "(default") == NULL ? row->initial : NULL;
    const char *variable = row->environment != NULL ? row->environment : "";
    (void)snprintf(out, out_bytes, "%s%s%s%s%s%s%s%s%s%s%s", row->help,
                   words[0] != '\0' ? ": " : "", words,
                   row->kind == OPTION_LIST ? " (may be repeated)" : "",
                   row->required ? " (required)" : "", initial != NULL ? " (default " : "",
                   initial != NULL ? initial : "", initial != NULL ? ")" : "",
                   variable[0] != '\0' ? " (or " : "", variable, variable[0] != '\0' ? ")" : "");
}

static void print_row(const struct option_row *row)
{
    char head[80];
    char text[512];
    const char letter[] = {'-', row->letter, ',', '\0'};
    const char *value = row->value != NULL ? row->value : "VALUE";
    const bool takes_value = row->kind != OPTION_FLAG;
    (void)snprintf(head, sizeof(head), "  %-3s --%s%s%s", row->letter != '\0' ? letter : "",
                   row->name, takes_value ? " " : "", takes_value ? value : "");
    describe_row(row, text, sizeof(text));
    (void)printf("%-*s", HELP_COLUMN, head);
    if (strlen(head) >= HELP_COLUMN)
        (void)printf("\n%*s", HELP_COLUMN, "");
    print_wrapped(text, HELP_COLUMN);
}

void option_print_help(const struct option_program *program)
{
    (void)printf("Usage: %s %s\n", program->name, program->synopsis);
    if (program->about != NULL)
        (void)printf("\n%s\n", program->about);
    (void)printf("\nOptions:\n");
    for (const struct option_row *row = program->rows; row->name != NULL; row++)
        print_row(row);
    for (const struct option_row *row = option_common_rows; row->name != NULL; row++)
        print_row(row);
    (void)printf(
        "\nEvery option but the last two can also be set in the environment (--log-level is\n"
        "REPRISE_LOG_LEVEL) or in the file of --config ({\"log-level\": \"debug\"}). A flag beats\n"
        "the environment, which beats the file.\n");
    if (program->epilogue != NULL)
        (void)printf("\n%s\n", program->epilogue);
}
