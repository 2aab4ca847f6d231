#include "trainer/metrics.h"

#include <stdlib.h>

#include "base/fs.h"

struct scored {
    float score;
    int32_t label;
};

static int compare_scores(const void *a, const void *b)
{
    const float first = ((const struct scored *)a)->score;
    const float second = ((const struct scored *)b)->score;
    return (first > second) - (first < second);
}

enum status metrics_auc(const float *scores, const int32_t *labels, size_t count, double *out,
                        bool *out_defined, struct error *err)
{
    CLEANUP(free_cleanup) struct scored *rows = calloc(count > 0 ? count : 1, sizeof(*rows));
    if (rows == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sort %zu scores", count);
    double positives = 0.0;
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct scored){scores[i], labels[i]};
        positives += labels[i] == 1 ? 1.0 : 0.0;
    }
    const double negatives = (double)count - positives;
    *out_defined = positives > 0.0 && negatives > 0.0;
    if (!*out_defined)
        return STATUS_OK;
    qsort(rows, count, sizeof(*rows), compare_scores);
    double ranks = 0.0; /* of the positives, counted from 1, equal scores sharing their mean */
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && compare_scores(&rows[end], &rows[i]) == 0)
            end++;
        for (size_t j = i; j < end; j++)
            ranks += rows[j].label == 1 ? 0.5 * (double)(i + end + 1) : 0.0;
        i = end;
    }
    *out = (ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives);
    return STATUS_OK;
}
