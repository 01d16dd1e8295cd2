/*
 * What a listener costs: connections a second, CPU time and system calls a connection, and CPU while EMFILE is held.
 *
 * One process is the server, on whichever listener it was linked with or that is preloaded; another one is the client.
 * scripts/bench-listener runs this program with libevent's listener and with ours in turns and compares.
 *
 *     bench-listener one CONNECTIONS     connections that come one by one
 *     bench-listener burst CONNECTIONS   connections that come 64 at a time
 *     bench-listener emfile MILLISECONDS a client waits, and RLIMIT_NOFILE keeps it out
 *
 * Prints NAME=VALUE: rate (connections a second), cpu_us (a connection), or cpu (share of a core), wakeups.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 64 };

struct server {
    struct event_base *base;
    long left;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The client sees that it was accepted when the connection is closed. */
static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length, void *arg)
{
    struct server *server = arg;
    (void)l, (void)address, (void)length;
    close(fd);
    if (--server->left == 0)
        event_base_loopbreak(server->base);
}

static void on_error(struct evconnlistener *l, void *arg)
{
    (void)l, (void)arg;
}

static struct evconnlistener *server_listen(struct server *server, struct sockaddr_in *at)
{
    socklen_t length = sizeof *at;
    server->base = event_base_new();
    if (server->base == NULL)
        die("event_base_new");
    struct evconnlistener *l = evconnlistener_new_bind(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE, 1024,
                                                       (struct sockaddr *)at, sizeof *at);
    if (l == NULL || getsockname(evconnlistener_get_fd(l), (struct sockaddr *)at, &length) != 0)
        die("evconnlistener_new_bind");
    evconnlistener_set_error_cb(l, on_error);
    return l;
}

static int client_connect(const struct sockaddr_in *at)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    /* Reset at the end: no port stays in TIME_WAIT, however many connections there are. */
    struct linger reset = {.l_onoff = 1};
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0 ||
        connect(s, (const struct sockaddr *)at, sizeof *at) != 0)
        die("connect");
    return s;
}

static void client_run(const struct sockaddr_in *at, long connections, int at_a_time)
{
    int clients[BURST];
    char byte;
    for (long done = 0; done < connections; done += at_a_time) {
        for (int i = 0; i < at_a_time; i++)
            clients[i] = client_connect(at);
        for (int i = 0; i < at_a_time; i++) {
            if (recv(clients[i], &byte, 1, 0) < 0 && errno != ECONNRESET)
                die("recv");
            close(clients[i]);
        }
    }
    exit(0);
}

static int bench_connections(long connections, int at_a_time)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct server server = {.left = connections};
    struct evconnlistener *l = server_listen(&server, &at);
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        client_run(&at, connections, at_a_time);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    event_base_dispatch(server.base);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        return 1;
    evconnlistener_free(l);
    event_base_free(server.base);
    printf("rate=%.0f cpu_us=%.3f\n", (double)connections / wall, cpu * 1e6 / (double)connections);
    return 0;
}

static int bench_emfile(long milliseconds)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct server server = {.left = -1};
    struct timeval tv = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    struct evconnlistener *l = server_listen(&server, &at);
    struct rlimit limit;
    int waiting = client_connect(&at);
    event_base_loopexit(server.base, &tv);
    int next = dup(0);
    if (next < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("limit");
    close(next);
    limit.rlim_cur = (rlim_t)next;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    event_base_dispatch(server.base);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    close(waiting);
    evconnlistener_free(l);
    event_base_free(server.base);
    printf("cpu=%.5f\n", cpu / wall);
    return 0;
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    signal(SIGPIPE, SIG_IGN);
    if (count > 0 && strcmp(argv[1], "one") == 0)
        return bench_connections(count, 1);
    if (count > 0 && strcmp(argv[1], "burst") == 0)
        return bench_connections((count + BURST - 1) / BURST * BURST, BURST);
    if (count > 0 && strcmp(argv[1], "emfile") == 0)
        return bench_emfile(count);
    fprintf(stderr, "usage: bench-listener one|burst CONNECTIONS | emfile MILLISECONDS\n");
    return 2;
}
