#ifndef SCHEMA_EXIT_CODE_H
#define SCHEMA_EXIT_CODE_H

/* exit_code.h - what a trainer's exit code says; any program that trains may use them. */

enum trainer_exit {
    TRAINER_EXIT_DONE = 0,
    TRAINER_EXIT_BAD_SPEC = 64,
    TRAINER_EXIT_BAD_DATA = 65,
    TRAINER_EXIT_PEER_LOST = 69,    /* peer or collective lost: infrastructure, not charged */
    TRAINER_EXIT_INTERNAL = 70,     /* charged to the job */
    TRAINER_EXIT_DEVICE_FAULT = 71, /* go elsewhere, blame the node */
    TRAINER_EXIT_CANNOT_WRITE = 73,
    TRAINER_EXIT_STOPPED = 75, /* stopped on request, checkpoint written */
    TRAINER_EXIT_FENCED = 76,
};

#endif
