/*
 * makedata_text.c - train.tsv and test.tsv: a sentiment, a tab, a sentence of a bank's customer.
 *
 * Counting words is not enough: a negation turns its adjective around, and of two clauses with "but"
 * between them the second decides. A few sentences are a single word, and a few labels are wrong.
 */
#include "trainer/makedata_private.h"

#define TEST_SHARE   4  /* one test line for so many training lines */
#define WRONG_LABEL  20 /* in a thousand */
#define SINGLE_WORD  20
#define NEGATED      300
#define TWO_CLAUSES  250
#define WITH_SETTING 500
#define WITH_DEGREE  400

enum { PART_TRAIN, PART_TEST };

static const char *const subjects[] = {
    "the app",      "their support", "my new card",  "the loan",     "the branch",  "the fee",
    "the adviser",  "the transfer",  "the website",  "the account",  "the hotline", "the statement",
    "the contract", "the insurance", "the mortgage", "the cash desk"};
static const char *const verbs[] = {"is", "was", "seems", "remains", "has been"};
static const char *const degrees[] = {"very", "really", "quite", "rather", "always"};
static const char *const negations[] = {"not", "never", "hardly"};
static const char *const good[] = {"helpful", "fast",     "reliable", "clear",     "friendly",
                                   "fair",    "easy",     "cheap",    "excellent", "pleasant",
                                   "honest",  "generous", "safe",     "punctual"};
static const char *const bad[] = {"slow",      "rude",     "confusing", "expensive", "broken",
                                  "useless",   "unfair",   "late",      "terrible",  "annoying",
                                  "dishonest", "careless", "risky",     "awful"};
static const char *const settings[] = {"since last week",
                                       "after two months",
                                       "for my small shop",
                                       "on the phone",
                                       "this year",
                                       "in our town",
                                       "as far as I know",
                                       "at the weekend",
                                       "for a student",
                                       "when I need money",
                                       "so far"};

#define PICK(draws, words) ((words)[draw_below((draws), (int64_t)COUNT_OF(words))])

/* One clause that says something good or bad. */
static void print_clause(FILE *stream, struct draws *draws, bool positive)
{
    const bool negated = draw_chance(draws, NEGATED);
    const char *adjective = positive != negated ? PICK(draws, good) : PICK(draws, bad);
    (void)fprintf(stream, "%s ", PICK(draws, subjects));
    (void)fprintf(stream, "%s ", PICK(draws, verbs));
    if (negated)
        (void)fprintf(stream, "%s ", PICK(draws, negations));
    if (draw_chance(draws, WITH_DEGREE))
        (void)fprintf(stream, "%s ", PICK(draws, degrees));
    (void)fputs(adjective, stream);
}

static void print_review(FILE *stream, struct draws *draws)
{
    const bool positive = draw_chance(draws, 500);
    const bool wrong = draw_chance(draws, WRONG_LABEL);
    (void)fprintf(stream, "%s\t", positive != wrong ? "positive" : "negative");
    if (draw_chance(draws, SINGLE_WORD)) {
        (void)fprintf(stream, "%s\n", positive ? PICK(draws, good) : PICK(draws, bad));
        return;
    }
    if (draw_chance(draws, TWO_CLAUSES)) {
        print_clause(stream, draws, !positive);
        (void)fputs(", but ", stream);
    }
    print_clause(stream, draws, positive);
    if (draw_chance(draws, WITH_SETTING))
        (void)fprintf(stream, " %s", PICK(draws, settings));
    (void)fputs(".\n", stream);
}

static enum status write_part(const struct makedata_request *request, const char *name, int part,
                              int64_t rows, struct error *err)
{
    CLEANUP(makedata_file_cleanup) struct makedata_file file = {.stream = NULL};
    TRY(makedata_open(request, name, &file, err));
    for (int64_t row = 0; row < rows; row++) {
        struct draws draws = draws_of(request->seed, part, row);
        print_review(file.stream, &draws);
    }
    return makedata_finish(&file, err);
}

enum status makedata_text(const struct makedata_request *request, struct error *err)
{
    TRY(write_part(request, "train.tsv", PART_TRAIN, request->rows, err));
    return write_part(request, "test.tsv", PART_TEST, request->rows / TEST_SHARE, err);
}
