/*
 * train_board.c - what rank 0 says of metrics: an event for whoever runs the job, and the same figures
 * for TensorBoard in OUTPUT/tensorboard.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/export/tfevents.h"
#include "trainer/train.h"

#define BOARD_HOST_BYTES 65

_Static_assert(EVENT_VALUES_MAX <= TFEVENTS_SCALARS_MAX, "an event's values fit one record");
_Static_assert(EVENT_VALUE_NAME_BYTES <= TFEVENTS_TAG_BYTES, "an event's names fit a tag");

/* Opened with the first figures: a run that fails before them leaves no empty file. */
static enum status open_board(struct train *train, struct error *err)
{
    char host[BOARD_HOST_BYTES] = "";
    char folder[PATH_MAX];
    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
        (void)snprintf(host, sizeof(host), "localhost");
    TRY(fs_path(folder, sizeof(folder), err, "%s/" TRAIN_BOARD_FOLDER,
                train->contract->output_dir));
    return tfevents_open(folder, host, clock_wall_ms(), &train->board, err);
}

enum status train_report_values(struct train *train, struct wire_event *event, struct error *err)
{
    if (train->contract->rank != 0 || train->events == NULL)
        return STATUS_OK;
    TRY(events_emit(train->events, event, err));
    if (train->board == NULL)
        TRY(open_board(train, err));
    struct tfevents_scalar scalars[EVENT_VALUES_MAX];
    for (size_t i = 0; i < event->value_count; i++)
        scalars[i] = (struct tfevents_scalar){event->values[i].name, event->values[i].value};
    return tfevents_scalars(train->board, event->step, event->wall_ms, scalars, event->value_count,
                            err);
}
