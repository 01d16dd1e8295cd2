#include "run/client.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/clock.h"
#include "run/spawn.h"
#include "run/tree.h"

#define KILL_AFTER_NS NS_PER_S

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    client_expire(context);
}

static void arm(struct client *client, uint64_t ns)
{
    struct timeval time = clock_timeval(ns);
    event_add(client->timer, &time);
}

/* In the background of a terminal, whose foreground is ours, to read from it would be to be stopped. */
static int open_input(void)
{
    return isatty(STDIN_FILENO) ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
}

static int start(struct client *client, const char *command, char *const *variables, int output)
{
    char shell[] = "sh", option[] = "-c";
    char *copy = strdup(command);
    char **env = spawn_environment(environ, variables, ENDPOINT_VARIABLES);
    char *argv[] = {shell, option, copy, NULL};
    int input = open_input();
    struct spawn spawn = {.argv = argv, .env = env, .in = input, .out = output, .err = output, .kept = true};
    client->pid = copy != NULL && env != NULL ? spawn_start(&spawn) : -1;
    int saved = errno;
    if (input >= 0)
        close(input);
    free(env);
    free(copy);
    errno = saved;
    return client->pid > 0 ? 0 : -1;
}

int client_start(struct client *client, struct event_base *base, const char *command, const struct endpoint *endpoint,
                 uint64_t timeout_ns, bool silent)
{
    char *variables[ENDPOINT_VARIABLES];
    int output = silent ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    memset(client, 0, sizeof *client);
    client->started_ns = clock_ns();
    client->timer = evtimer_new(base, on_timer, client);
    int result = endpoint_variables(endpoint, variables);
    if (result == 0)
        result = client->timer != NULL ? start(client, command, variables, output) : -1;
    int saved = errno;
    for (size_t i = 0; i < ENDPOINT_VARIABLES; i++)
        free(variables[i]);
    if (output >= 0)
        close(output);
    if (result != 0) {
        client_free(client);
        client->pid = 0;
        errno = saved;
        return -1;
    }
    tree_except(client->pid);
    client->running = true;
    if (timeout_ns != 0)
        arm(client, timeout_ns);
    return 0;
}

bool client_reaped(struct client *client, pid_t pid, int status)
{
    if (!client->running || pid != client->pid)
        return false;
    client->running = false;
    client->status = status;
    event_del(client->timer);
    tree_forget(client->pid);
    return true;
}

void client_signal(const struct client *client, int signal)
{
    if (client->running)
        kill(-client->pid, signal);
}

void client_expire(struct client *client)
{
    if (!client->running)
        return;
    client_signal(client, client->timed_out ? SIGKILL : SIGTERM);
    client->timed_out = true;
    arm(client, KILL_AFTER_NS);
}

void client_free(struct client *client)
{
    if (client->timer != NULL)
        event_free(client->timer);
    client->timer = NULL;
}
