/*
 * demo-client - many clients at once: each connects, sends one text and waits for another in the answer.
 *
 *     demo-client [-n CLIENTS] [-s TEXT] [-x TEXT] [-t MILLISECONDS] [-o FILE]
 *
 * Both texts may have the escapes of `snag run --send`.
 *
 * Made for `snag run --client`: the server is $SNAG_HOST, $SNAG_PORT.  Prints how many were served and when the last one
 * was, to FILE as JSON too.  Exit status 0 if all were served, 1 if not, 125 if it could not try.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "run/escape.h"

enum {
    CLIENTS_MAX = 500,
    ANSWER_MAX = 4096,
};

enum state { CONNECTING, WAITING, SERVED, CLOSED, RESET, REFUSED, STATES };

struct client {
    enum state state;
    double served_ms;
    size_t got;
    char answer[ANSWER_MAX];
};

static struct client clients[CLIENTS_MAX];
static struct pollfd fds[CLIENTS_MAX];
/* What a client sends and waits for; it may hold any byte. */
static struct text {
    char *bytes;
    size_t length;
} to_send, to_expect;
static int count = 20;
static long limit_ms = 8000;
static const char *json_file;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "demo-client: %s: %s\n", what, why);
    exit(125);
}

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void text_set(struct text *text, const char *escaped)
{
    char *bytes = strdup(escaped);
    if (!bytes)
        die("no memory", strerror(errno));
    if (escape_decode(bytes, &text->length))
        die(escaped, "expected only the escapes \\r \\n \\t \\0 \\xHH \\\\ \\\"");
    free(text->bytes);
    text->bytes = bytes;
}

static long number(const char *option, const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > max)
        die(option, "not a number in range");
    return value;
}

static void options_read(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "n:s:x:t:o:")) != -1) {
        if (option == 'n')
            count = (int)number("-n", optarg, CLIENTS_MAX);
        else if (option == 's')
            text_set(&to_send, optarg);
        else if (option == 'x')
            text_set(&to_expect, optarg);
        else if (option == 't')
            limit_ms = number("-t", optarg, 600000);
        else if (option == 'o')
            json_file = optarg;
        else
            die("usage", "demo-client [-n CLIENTS] [-s TEXT] [-x TEXT] [-t MILLISECONDS] [-o FILE]");
    }
}

/* The server's address.  The caller frees it with freeaddrinfo(). */
static struct addrinfo *server_address(void)
{
    const char *host = getenv("SNAG_HOST"), *port = getenv("SNAG_PORT");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *address;
    int error = getaddrinfo(host ? host : "127.0.0.1", port ? port : "", &hints, &address);
    if (error)
        die("SNAG_HOST, SNAG_PORT", gai_strerror(error));
    return address;
}

static void client_end(int i, enum state state)
{
    clients[i].state = state;
    close(fds[i].fd);
    fds[i].fd = -1; /* poll skips it */
}

static void client_start(int i, const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        die("socket", strerror(errno));
    fds[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
    if (connect(fd, address->ai_addr, address->ai_addrlen) == -1 && errno != EINPROGRESS)
        client_end(i, REFUSED);
}

/* Connected, or not: send what there is to send. */
static void client_send(int i)
{
    ssize_t sent = send(fds[i].fd, to_send.bytes, to_send.length, MSG_NOSIGNAL);
    if (sent != (ssize_t)to_send.length) {
        client_end(i, errno == ECONNREFUSED ? REFUSED : RESET);
        return;
    }
    clients[i].state = WAITING;
    fds[i].events = POLLIN;
}

static void client_receive(int i, double start)
{
    struct client *client = &clients[i];
    ssize_t got = recv(fds[i].fd, client->answer + client->got, ANSWER_MAX - client->got, 0);
    if (got == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_end(i, got == 0 ? CLOSED : RESET);
        return;
    }
    client->got += (size_t)got;
    if (memmem(client->answer, client->got, to_expect.bytes, to_expect.length)) {
        client->served_ms = now_ms() - start;
        client_end(i, SERVED);
    }
}

static int clients_in(enum state state)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        n += clients[i].state == state;
    return n;
}

static void clients_run(double start)
{
    for (;;) {
        double left = start + (double)limit_ms - now_ms();
        if (clients_in(CONNECTING) + clients_in(WAITING) == 0 || left <= 0)
            return;
        if (poll(fds, (nfds_t)count, (int)left + 1) == -1 && errno != EINTR)
            die("poll", strerror(errno));
        for (int i = 0; i < count; i++) {
            if (fds[i].fd == -1 || fds[i].revents == 0)
                continue;
            if (clients[i].state == CONNECTING)
                client_send(i);
            else
                client_receive(i, start);
        }
    }
}

static int report(void)
{
    double first = 0, last = 0;
    for (int i = 0; i < count; i++) {
        if (clients[i].state != SERVED)
            continue;
        first = first == 0 || clients[i].served_ms < first ? clients[i].served_ms : first;
        last = clients[i].served_ms > last ? clients[i].served_ms : last;
    }
    int served = clients_in(SERVED), waiting = clients_in(CONNECTING) + clients_in(WAITING);
    int closed = clients_in(CLOSED), reset = clients_in(RESET), refused = clients_in(REFUSED);
    printf("served %d of %d in %.1f ms (closed %d, reset %d, refused %d, still waiting %d)\n", served, count, last,
           closed, reset, refused, waiting);
    FILE *file = json_file ? fopen(json_file, "we") : NULL;
    if (json_file && !file)
        die(json_file, strerror(errno));
    if (file) {
        fprintf(file,
                "{\"clients\":%d,\"served\":%d,\"closed\":%d,\"reset\":%d,\"refused\":%d,\"waiting\":%d,"
                "\"first_ms\":%.1f,\"last_ms\":%.1f}\n",
                count, served, closed, reset, refused, waiting, first, last);
        if (fclose(file) != 0)
            die(json_file, strerror(errno));
    }
    return served == count ? 0 : 1;
}

int main(int argc, char **argv)
{
    text_set(&to_send, "hello, snag\\n");
    text_set(&to_expect, "hello, snag\\n");
    options_read(argc, argv);
    struct addrinfo *address = server_address();
    double start = now_ms();
    for (int i = 0; i < count; i++)
        client_start(i, address);
    freeaddrinfo(address);
    clients_run(start);
    return report();
}
