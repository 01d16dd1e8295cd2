/*
 * What a call of accept costs: times accept(-1, 0, 0), which the kernel refuses at once, in bursts, and prints the
 * median burst's nanoseconds a call.  Between bursts it pauses, outside the measured time, so that whoever reads the
 * records of injected calls keeps up: a record that is dropped because its ring is full costs less than one that is kept.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BURSTS = 41,
    CALLS = 2000,  /* a burst; with WARM_UP, well below what a ring holds */
    WARM_UP = 100, /* calls before each burst that are not measured */
    PAUSE_MS = 15,
};

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Waits once on a listening socket, so that a session takes this program for a server that is ready. */
static void become_ready(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd == -1 || bind(fd, (struct sockaddr *)&address, sizeof address) == -1 || listen(fd, 1) == -1) {
        perror("bench-accept");
        exit(1);
    }
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0);
}

static double burst(int *failures)
{
    for (int i = 0; i < WARM_UP; i++)
        *failures += accept(-1, NULL, NULL) == -1;
    double start = now_ns();
    for (int i = 0; i < CALLS; i++)
        *failures += accept(-1, NULL, NULL) == -1;
    return (now_ns() - start) / CALLS;
}

static int smaller(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static double ns[BURSTS];
    int failures = 0;
    become_ready();
    for (int i = 0; i < BURSTS; i++) {
        poll(NULL, 0, PAUSE_MS);
        ns[i] = burst(&failures);
    }
    if (failures != BURSTS * (WARM_UP + CALLS)) {
        fprintf(stderr, "bench-accept: %d calls failed, not all\n", failures);
        return 1;
    }
    qsort(ns, BURSTS, sizeof ns[0], smaller);
    printf("%.2f\n", ns[BURSTS / 2]);
    return 0;
}
