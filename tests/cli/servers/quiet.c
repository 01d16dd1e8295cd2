/*
 * quiet - shows whether somebody who looks at a process from outside is seen by it: a child accepts, polls, and makes other
 * calls from several depths, each of which would say so if it was interrupted, and its parent would be told if it was
 * stopped.  Says "quiet", or what was seen.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEPTHS = 6 };

static volatile sig_atomic_t told, continued;

static void on_signal(int signal)
{
    if (signal == SIGCHLD)
        told++;
    else
        continued++;
}

static void check(int result, const char *call)
{
    if (result >= 0)
        return;
    printf("%s: %s\n", call, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static int accept_at(int depth, int listener)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    struct timeval moment = {.tv_usec = 2000};
    volatile int result = 0;
    if (depth > 0)
        result = accept_at(depth - 1, listener);
    else
        result = accept(listener, NULL, NULL);
    check(result, "accept");
    check(poll(&entry, 1, 2), "poll");
    check(select(0, NULL, NULL, NULL, &moment), "select");
    return result;
}

static void child(int listener)
{
    for (int i = 0; i < 2 * DEPTHS; i++) {
        int client = accept_at(i % DEPTHS, listener);
        check(close(client), "close");
    }
    _exit(continued > 0);
}

static void connect_to(const struct sockaddr_in *address)
{
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(fd, (const struct sockaddr *)address, sizeof *address), "connect");
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {
    }
    close(fd);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), status;
    check(bind(listener, (struct sockaddr *)&address, length), "bind");
    check(listen(listener, 16), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(listener);
    for (int i = 0; i < 2 * DEPTHS; i++)
        connect_to(&address);
    while (waitpid(pid, &status, WUNTRACED | WCONTINUED) != pid) {
    }
    printf(status == 0 && told == 1 ? "quiet\n" : "status %#x, told %d times\n", (unsigned)status, (int)told);
    return 0;
}
