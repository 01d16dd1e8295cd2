/*
 * tiny [OPTION]... ADDRESS: a small echo server with the faults of real ones.  ADDRESS is a TCP port of 127.0.0.1 (0: any
 * free one), a unix path, or @name.  It answers each line with the line; HTTP it answers with a short page.
 *
 *   daemon      goes into the background by forking twice, as old daemons do
 *   closes      closes all its descriptors but the listening one, before it says that it is up
 *   deaf        after an error from accept it never accepts again
 *   quits       after an error from accept it ends with exit status 9
 *   dies        after an error from accept it aborts
 *   drops=N     closes its first N connections at once
 *   ignores     ignores SIGTERM
 *   aborts      aborts at SIGTERM
 *   slow=MS     waits before it listens
 *   child       starts a child, in a session of its own, that ignores SIGTERM and waits for ever
 *   says=TEXT   writes TEXT to stderr
 *   exits=N     ends with N before it listens
 *   blocks      accepts with a blocking accept, without poll
 *   floods=N    writes N lines to stdout before it listens
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS = 64 };

static struct {
    int daemon, closes, deaf, quits, dies, drops, ignores, aborts, slow, child, exits, blocks, floods;
    const char *says;
} options = {.exits = -1};

static struct pollfd fds[CLIENTS + 1];
static nfds_t count = 1;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static void read_option(const char *argument)
{
    static const struct {
        const char *name;
        int *value;
    } known[] = {
        {"daemon", &options.daemon}, {"closes", &options.closes},   {"deaf", &options.deaf},
        {"quits", &options.quits},   {"dies", &options.dies},       {"drops", &options.drops},
        {"aborts", &options.aborts}, {"ignores", &options.ignores}, {"slow", &options.slow},
        {"child", &options.child},   {"exits", &options.exits},     {"blocks", &options.blocks},
        {"floods", &options.floods},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *value = value_of(argument, known[i].name);
        if (value != NULL || strcmp(argument, known[i].name) == 0) {
            *known[i].value = value != NULL ? atoi(value) : 1;
            return;
        }
    }
    options.says = value_of(argument, "says");
    if (options.says == NULL) {
        fprintf(stderr, "tiny: unknown option %s\n", argument);
        exit(2);
    }
}

static void abort_now(int signal)
{
    (void)signal;
    abort();
}

static void go_into_background(void)
{
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == -1)
            fail("fork");
        if (pid > 0)
            _exit(0);
        setsid();
    }
}

static void start_child(void)
{
    if (fork() != 0)
        return;
    setsid();
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    if (fd == -1 ||
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == -1)
        fail("bind");
    return fd;
}

static int listen_tcp(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    address.sin_port = htons((uint16_t)atoi(port));
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == -1 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) == -1)
        fail("bind");
    return fd;
}

static void take_client(void)
{
    int fd = accept(fds[0].fd, NULL, NULL);
    if (fd >= 0 && options.drops-- <= 0 && count <= CLIENTS) {
        fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        return;
    }
    if (fd >= 0) {
        close(fd);
        return;
    }
    fprintf(stderr, "tiny: accept: %s\n", strerror(errno));
    if (options.quits)
        exit(9);
    if (options.dies)
        abort();
    if (options.deaf)
        fds[0].events = 0;
}

static void answer(nfds_t i)
{
    static const char page[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntiny\n";
    char data[4096];
    ssize_t length = read(fds[i].fd, data, sizeof data);
    if (length > 4 && memcmp(data, "GET ", 4) == 0)
        length = write(fds[i].fd, page, sizeof page - 1) < 0 ? -1 : 0;
    else if (length > 0)
        length = write(fds[i].fd, data, (size_t)length);
    if (length > 0)
        return;
    close(fds[i].fd);
    fds[i] = fds[--count];
}

static void serve(void)
{
    for (;;) {
        if (options.blocks) {
            take_client();
            while (count > 1)
                answer(count - 1);
            continue;
        }
        if (poll(fds, count, -1) < 0 && errno != EINTR)
            fail("poll");
        for (nfds_t i = count; i-- > 1;)
            if (fds[i].revents)
                answer(i);
        if (fds[0].revents)
            take_client();
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc - 1; i++)
        read_option(argv[i]);
    if (argc < 2)
        return 2;
    const char *address = argv[argc - 1];
    signal(SIGPIPE, SIG_IGN);
    if (options.ignores)
        signal(SIGTERM, SIG_IGN);
    if (options.aborts)
        signal(SIGTERM, abort_now);
    if (options.says != NULL)
        fprintf(stderr, "%s\n", options.says);
    for (int i = 0; i < options.floods; i++)
        printf("line %d of many that a server may write before anybody reads them\n", i);
    fflush(stdout);
    if (options.exits >= 0)
        return options.exits;
    if (options.daemon)
        go_into_background();
    if (options.child)
        start_child();
    if (options.slow)
        usleep((useconds_t)options.slow * 1000);
    int fd = address[0] == '@' || strchr(address, '/') != NULL ? listen_unix(address) : listen_tcp(address);
    if (listen(fd, 16) == -1)
        fail("listen");
    if (options.closes) {
        dup2(fd, 0);
        for (fd = 1; fd < 1024; fd++)
            close(fd);
        fd = 0;
    }
    fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
    serve();
}
