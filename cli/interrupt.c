#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_bool came;

static void signals_of_interest(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

static void *wait_for_signal(void *client)
{
    sigset_t set;
    int number = 0;
    signals_of_interest(&set);
    while (sigwait(&set, &number) == 0) {
        if (atomic_exchange(&came, true))
            _exit(128 + number); /* the second time they mean it */
        http_client_abort(client);
    }
    return NULL;
}

void interrupt_watch(struct http_client *client)
{
    sigset_t set;
    pthread_t thread;
    signals_of_interest(&set);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return;
    if (pthread_create(&thread, NULL, wait_for_signal, client) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &set,
                        NULL); /* the default, which ends us, is better than nothing */
}

bool interrupted(void)
{
    return atomic_load(&came);
}
