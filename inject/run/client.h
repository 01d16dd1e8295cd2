/*
 * client.h - commands that run beside the server, by sh -c and without the shim: --client and --ready.
 */
#ifndef SNAG_CLIENT_H
#define SNAG_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "run/endpoint.h"

struct event_base;

/* One run of a command. */
struct client {
    pid_t pid; /* of its keeper, and its process group; 0: never started */
    bool running;
    bool timed_out; /* snag ended it, for its time was up */
    int status;     /* as of waitpid(2), once it is not running */
    uint64_t started_ns;
    struct event *timer; /* the time-out, then the SIGKILL after it */
};

/*
 * Starts COMMAND with the SNAG_ variables of ENDPOINT; after TIMEOUT_NS (0: never) it is ended, by SIGTERM and then by
 * SIGKILL.  SILENT sends its output to /dev/null; a terminal is kept from its stdin.  Returns -1 with errno.
 */
int client_start(struct client *client, struct event_base *base, const char *command, const struct endpoint *endpoint,
                 uint64_t timeout_ns, bool silent);

/* If PID is the client's: notes that it ended with STATUS, and all that it started with it, and returns true. */
bool client_reaped(struct client *client, pid_t pid, int status);

/* Sends SIGNAL to its group, if it runs. */
void client_signal(const struct client *client, int signal);

/* Ends it, as when its time is up. */
void client_expire(struct client *client);

/* Frees the timer. */
void client_free(struct client *client);

#endif
