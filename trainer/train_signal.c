#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "trainer/train.h"

static atomic_bool stop_requested;
static atomic_bool checkpoint_requested;

static void handle(int number)
{
    if (number == SIGUSR1)
        atomic_store(&checkpoint_requested, true);
    else
        atomic_store(&stop_requested, true);
}

void train_signal_setup(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    (void)sigaction(SIGTERM, &action, NULL); /* these cannot fail: the numbers are valid */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

bool train_signal_stop(void)
{
    return atomic_load(&stop_requested);
}

bool train_signal_take_checkpoint(void)
{
    return atomic_exchange(&checkpoint_requested, false);
}
