/*
 * student MODE PORT: what a student may hand in for a lesson.
 *
 *     good     accepts until EAGAIN, closes each client, waits 20 ms after an error, ends at SIGTERM with 0
 *     echo     the same, but sends back what one client at a time sends
 *     naive    exits when accept fails
 *     twice    as good, but closes each client a second time
 *     one      takes one client a wakeup, and never closes any
 *     spins    as good, but without the wait
 *     silent   ends without having listened;  silent-and-stays  does not even end
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void serve(int client, const char *mode)
{
    char bytes[256];
    ssize_t n;
    if (strcmp(mode, "one") == 0)
        return;
    while (strcmp(mode, "echo") == 0 && (n = read(client, bytes, sizeof bytes)) > 0)
        if (write(client, bytes, (size_t)n) != n)
            break;
    close(client);
    if (strcmp(mode, "twice") == 0)
        close(client);
}

/* Returns whether there may be more. */
static int accept_one(int listening, const char *mode)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int client = accept(listening, (struct sockaddr *)&peer, &length);
    if (client >= 0) {
        serve(client, mode);
        return strcmp(mode, "one") != 0;
    }
    if (errno == EAGAIN)
        return 0;
    if (strcmp(mode, "naive") == 0)
        exit(1);
    if (strcmp(mode, "spins") != 0)
        usleep(20000);
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_stop};
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc != 3)
        return 2;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    sigaction(SIGTERM, &action, NULL);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    while (strcmp(argv[1], "silent-and-stays") == 0 && !stopped)
        pause();
    if (strncmp(argv[1], "silent", 6) == 0)
        return 3;
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 16) != 0) {
        perror("student");
        return 1;
    }
    while (!stopped) {
        struct pollfd fd = {.fd = listening, .events = POLLIN};
        if (poll(&fd, 1, 1000) > 0)
            while (accept_one(listening, argv[1])) {
            }
    }
    close(listening);
    return 0;
}
