/*
 * makedata_table.c - loans.csv: what a lender knows of an applicant, and whether the loan was repaid.
 *
 * The outcome follows from burden, late payments and categories, with noise; some incomes and
 * purposes are missing. A purpose with a comma in it is quoted, as a spreadsheet would write it.
 */
#include <inttypes.h>

#include "trainer/makedata_private.h"

#define REGIONS         20
#define MISSING_INCOME  60 /* in a thousand */
#define MISSING_PURPOSE 30
#define NOISE           0.8
#define THRESHOLD       1.9 /* about 27 in a hundred default */

enum { PART_LOANS, PART_REGIONS };

struct level {
    const char *text;
    double risk;
};

static const struct level purposes[] = {{"car", -0.4},      {"\"home, repair\"", -0.2},
                                        {"education", 0.1}, {"medical", 0.5},
                                        {"business", 0.8},  {"travel", 0.3}};
static const struct level homes[] = {
    {"own", -0.6}, {"mortgage", -0.1}, {"rent", 0.4}, {"parents", 0.2}};

struct loan {
    int64_t age, income, debt, amount, months, accounts, late;
    const struct level *purpose, *home;
    int64_t region;
};

/* One draw a statement: C leaves the order of what stands in one expression open. */
static struct loan loan_of(struct draws *draws)
{
    struct loan loan;
    loan.age = 21 + draw_below(draws, 50);
    loan.income = 1100 + 10 * draw_below(draws, 120);
    const int64_t steady = draw_below(draws, 60);
    loan.income += steady * draw_below(draws, 60);
    loan.debt = draw_chance(draws, 500) ? 50 * draw_below(draws, 200) : 0;
    loan.amount = 500 + 100 * draw_below(draws, 160);
    loan.months = 12 * (1 + draw_below(draws, 5));
    loan.accounts = draw_below(draws, 9);
    loan.late = draw_chance(draws, 250) ? 1 + draw_below(draws, 4) : 0;
    loan.purpose = &purposes[draw_below(draws, (int64_t)COUNT_OF(purposes))];
    loan.home = &homes[draw_below(draws, (int64_t)COUNT_OF(homes))];
    loan.region = draw_below(draws, REGIONS);
    return loan;
}

static double risk_of(const struct loan *loan, const double region_risk[REGIONS])
{
    const double monthly = (double)loan->amount / (double)loan->months + 0.02 * (double)loan->debt;
    const double burden = monthly / (double)loan->income;
    return 3.0 * burden + 0.7 * (double)loan->late - 0.015 * (double)(loan->age - 45) +
           loan->purpose->risk + loan->home->risk + region_risk[loan->region];
}

static void print_loan(FILE *stream, int64_t id, const struct loan *loan, struct draws *draws,
                       bool defaulted)
{
    const bool has_income = !draw_chance(draws, MISSING_INCOME);
    const bool has_purpose = !draw_chance(draws, MISSING_PURPOSE);
    (void)fprintf(stream, "%" PRId64 ",%" PRId64 ",", id, loan->age);
    if (has_income)
        (void)fprintf(stream, "%" PRId64, loan->income);
    (void)fprintf(stream,
                  ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,%s,R%02" PRId64
                  ",%s\n",
                  loan->debt, loan->amount, loan->months, loan->accounts, loan->late,
                  has_purpose ? loan->purpose->text : "", loan->home->text, loan->region,
                  defaulted ? "default" : "repaid");
}

enum status makedata_table(const struct makedata_request *request, struct error *err)
{
    CLEANUP(makedata_file_cleanup) struct makedata_file file = {.stream = NULL};
    TRY(makedata_open(request, "loans.csv", &file, err));
    double region_risk[REGIONS];
    for (int region = 0; region < REGIONS; region++) {
        struct draws draws = draws_of(request->seed, PART_REGIONS, region);
        region_risk[region] = 0.5 * draw_bell(&draws);
    }
    (void)fputs("id,age,income,debt,amount,months,open_accounts,late_payments,purpose,home,region,"
                "outcome\n",
                file.stream);
    for (int64_t row = 0; row < request->rows; row++) {
        struct draws draws = draws_of(request->seed, PART_LOANS, row);
        const struct loan loan = loan_of(&draws);
        const double risk = risk_of(&loan, region_risk) + NOISE * draw_bell(&draws);
        print_loan(file.stream, row + 1, &loan, &draws, risk > THRESHOLD);
    }
    return makedata_finish(&file, err);
}
