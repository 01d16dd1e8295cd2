/*
 * interrupted [OPTION]... PORT: an echo server of one client at a time, that gets signals (SIGUSR1).
 *
 *   plain       its handler is installed without SA_RESTART
 *   polls       waits in poll, on a listening socket that does not block; without it, in accept
 *   times=MS    SO_RCVTIMEO of the listening socket
 *   files=N     RLIMIT_NOFILE
 *   threads     a second thread accepts as well
 *   cancels     a second thread accepts until SIGUSR2 comes: then it is cancelled, and the first takes its place
 *
 * It says on stderr what accept failed with, and "accepted N" for each client.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener, polls;

static void on_signal(int signal)
{
    (void)signal;
    if (write(STDERR_FILENO, "signal\n", 7) != 7)
        abort();
}

static void set_up(const char *option)
{
    if (strncmp(option, "times=", 6) == 0) {
        long ms = atol(option + 6);
        struct timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    } else if (strncmp(option, "files=", 6) == 0) {
        struct rlimit limit = {.rlim_cur = strtoul(option + 6, NULL, 10), .rlim_max = 4096};
        setrlimit(RLIMIT_NOFILE, &limit);
    } else if (strcmp(option, "polls") == 0) {
        polls = 1;
        fcntl(listener, F_SETFL, O_NONBLOCK);
    }
}

static void serve(int fd)
{
    char bytes[256];
    ssize_t length;
    fprintf(stderr, "accepted %d\n", fd);
    while ((length = read(fd, bytes, sizeof bytes)) != 0)
        if (length > 0 && write(fd, bytes, (size_t)length) != length)
            break;
    close(fd);
}

static void *accept_all(void *unused)
{
    for (;;) {
        struct pollfd entry = {.fd = listener, .events = POLLIN};
        if (polls && poll(&entry, 1, -1) < 0)
            continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(fd);
        else
            fprintf(stderr, "interrupted: accept: %s\n", strerror(errno));
    }
    return unused;
}

static void cancel_at_signal(pthread_t thread)
{
    int signal;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (sigwait(&set, &signal) != 0 || pthread_cancel(thread) != 0 || pthread_join(thread, NULL) != 0)
        abort();
    fprintf(stderr, "cancelled\n");
}

/* In all threads. */
static void block_second_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    pthread_t thread;
    int cancels = 0;
    address.sin_port = htons((uint16_t)atoi(argv[argc - 1]));
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
        perror("interrupted: listen");
        return 1;
    }
    for (int i = 1; i < argc - 1; i++) {
        set_up(argv[i]);
        if (strcmp(argv[i], "plain") == 0)
            action.sa_flags = 0;
        cancels |= strcmp(argv[i], "cancels") == 0;
        if (cancels)
            block_second_signal();
        if (cancels || strcmp(argv[i], "threads") == 0)
            pthread_create(&thread, NULL, accept_all, NULL);
    }
    sigaction(SIGUSR1, &action, NULL);
    if (cancels)
        cancel_at_signal(thread);
    accept_all(NULL);
}
