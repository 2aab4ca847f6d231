/* train_skipped.c - malformed records that reading the data passed over are told, not only counted. */
#include "trainer/data/fit.h"
#include "trainer/train.h"

static enum status warn_of(struct train *train, const struct dataset *set, const char *part,
                           struct error *err)
{
    CLEANUP(data_fit_cleanup) struct data_fit *fit = NULL;
    if (set->fit_bytes == 0)
        return STATUS_OK;
    TRY(data_fit_parse(set->fit, set->fit_bytes, &fit, err));
    const struct records_skipped *skipped = &fit->skipped;
    if (skipped->count == 0)
        return STATUS_OK;
    TRY(train_warn(train, err, "%lld malformed records of the %s part were passed over",
                   (long long)skipped->count, part));
    for (int64_t i = 0; i < skipped->count && i < RECORDS_WARNINGS_MAX; i++)
        TRY(train_warn(train, err, "passed over: %s", skipped->first[i]));
    return STATUS_OK;
}

enum status train_report_skipped(struct train *train, struct error *err)
{
    if (train->contract->rank != 0)
        return STATUS_OK;
    TRY(warn_of(train, &train->training, "training", err));
    return warn_of(train, &train->evaluation, "evaluation", err);
}
