/*
 * What a call of accept costs: times accept(-1, 0, 0), which the kernel refuses at once, in bursts.  Each burst of the
 * program's own accept, which a preloaded library may have taken over, is paired with one of libc's in the same process:
 * what else differs between two runs of a program, and between two moments, is in neither figure then.
 *
 *     accept [BURSTS [CALLS [FRAMES]]]
 *                              the medians, ns: of libc's call, of the program's, and of the differences pair by pair;
 *                              each is made FRAMES functions deep, counted from the one that calls to _start
 *     accept threads           how much more two threads on two cores get done than one: with libc's call, with the program's
 *     accept steady SECONDS    makes 1,000,000 calls a second, and prints how many a second it came to
 *
 * Between bursts it pauses, outside the measured time, so that whoever reads the records of the calls keeps up: a record
 * that is dropped because its ring is full costs less than one that is kept.
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BURSTS = 41,
    BURSTS_MAX = 1000,
    CALLS = 2000,  /* a burst; with WARM_UP, well below what a ring holds */
    WARM_UP = 100, /* calls before each burst that are not measured */
    FRAMES = 5,    /* time_calls, burst, compare, main, _start: the least */
    FRAMES_MAX = 30,
    PAUSE_MS = 10,
    STEADY_CALLS = 1000, /* each millisecond */
};

typedef int accept_function(int fd, struct sockaddr *address, socklen_t *length);

static accept_function *libc_accept, *own_accept;

/* What failed, by threads too: all calls must. */
static _Atomic long failures;

static void die(const char *what)
{
    fprintf(stderr, "bench-accept: %s\n", what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void find_functions(void)
{
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *own = dlsym(RTLD_DEFAULT, "accept"), *plain = libc ? dlsym(libc, "accept") : NULL;
    if (!own || !plain)
        die("no accept in libc.so.6");
    memcpy(&own_accept, &own, sizeof own);
    memcpy(&libc_accept, &plain, sizeof plain);
}

/* Waits once on a listening socket, so that a session takes this program for a server that is ready. */
static void become_ready(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd == -1 || bind(fd, (struct sockaddr *)&address, sizeof address) == -1 || listen(fd, 1) == -1)
        die("can't listen");
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0);
}

/* Makes COUNT calls of FUNCTION; returns the ns of each. */
__attribute__((noinline)) static double time_calls(accept_function *function, long count)
{
    long failed = 0;
    double start = now_ns();
    for (long i = 0; i < count; i++)
        failed += function(-1, NULL, NULL) == -1;
    double end = now_ns();
    atomic_fetch_add(&failures, failed);
    return (end - start) / (double)count;
}

/*
 * A burst, DEEPER functions further from main.  What is left to do after each call keeps it from being a jump, which would
 * leave no frame.
 */
__attribute__((noipa)) static double burst(accept_function *function, long calls, long deeper)
{
    static volatile long levels;
    double ns;
    if (deeper > 0) {
        ns = burst(function, calls, deeper - 1);
    } else {
        time_calls(function, WARM_UP);
        ns = time_calls(function, calls);
    }
    levels += deeper;
    return ns;
}

static int smaller(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, long count)
{
    qsort(values, (size_t)count, sizeof *values, smaller);
    return values[count / 2];
}

__attribute__((noinline)) static void compare(long bursts, long calls, long frames)
{
    static double plain[BURSTS_MAX], own[BURSTS_MAX], over[BURSTS_MAX];
    for (long i = 0; i < bursts; i++) {
        poll(NULL, 0, PAUSE_MS);
        bool first = i % 2 == 0;
        if (first)
            plain[i] = burst(libc_accept, calls, frames - FRAMES);
        own[i] = burst(own_accept, calls, frames - FRAMES);
        if (!first)
            plain[i] = burst(libc_accept, calls, frames - FRAMES);
        over[i] = own[i] - plain[i];
    }
    printf("%.2f %.2f %.2f\n", median(plain, bursts), median(own, bursts), median(over, bursts));
    if (failures != bursts * 2 * (WARM_UP + calls))
        die("not all calls failed");
}

/* Two threads, each on a core of its own, that begin each burst together. */
struct racer {
    pthread_t thread;
    int core;
    accept_function *function;
    double ns;
    _Atomic int *waiting; /* threads that have not come to the start */
};

static void stay_on(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        die("can't stay on one core");
}

static void *race(void *data)
{
    struct racer *racer = data;
    stay_on(racer->core);
    time_calls(racer->function, WARM_UP);
    atomic_fetch_sub(racer->waiting, 1);
    while (atomic_load(racer->waiting) > 0)
        ;
    racer->ns = time_calls(racer->function, CALLS);
    time_calls(racer->function, WARM_UP); /* the other one is still under way */
    return NULL;
}

/* Returns the ns a call of FUNCTION in COUNT threads (1 or 2) at once, the mean of them. */
static double time_threads(accept_function *function, int count, const int cores[2])
{
    struct racer racers[2];
    _Atomic int waiting = count;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        racers[i] = (struct racer){.core = cores[i], .function = function, .waiting = &waiting};
        if (pthread_create(&racers[i].thread, NULL, race, &racers[i]) != 0)
            die("can't make a thread");
    }
    for (int i = 0; i < count; i++) {
        pthread_join(racers[i].thread, NULL);
        sum += racers[i].ns;
    }
    poll(NULL, 0, PAUSE_MS);
    return sum / count;
}

static void find_cores(int cores[2])
{
    cpu_set_t set;
    int found = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < 2)
        die("two threads need two cores");
    for (int core = 0; found < 2; core++)
        if (CPU_ISSET((size_t)core, &set))
            cores[found++] = core;
}

static void scale(void)
{
    accept_function *const functions[] = {libc_accept, own_accept};
    double one[2][BURSTS], two[2][BURSTS], gain[2];
    int cores[2];
    find_cores(cores);
    for (int i = 0; i < BURSTS; i++)
        for (int k = 0; k < 2; k++) {
            one[k][i] = time_threads(functions[k], 1, cores);
            two[k][i] = time_threads(functions[k], 2, cores);
        }
    for (int k = 0; k < 2; k++)
        gain[k] = 2 * median(one[k], BURSTS) / median(two[k], BURSTS);
    printf("%.3f %.3f\n", gain[0], gain[1]);
}

/* So many calls each millisecond, and never two milliseconds' worth at once. */
static void steady(long seconds)
{
    double start = now_ns(), next = start;
    for (long i = 0; i < seconds * 1000; i++, next += 1e6) {
        while (now_ns() < next)
            ;
        time_calls(own_accept, STEADY_CALLS);
    }
    printf("%.0f\n", (double)(seconds * 1000 * STEADY_CALLS) / (now_ns() - start) * 1e9);
}

static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > max)
        die("usage: bench-accept [BURSTS [CALLS [FRAMES]]] | threads | steady SECONDS");
    return value;
}

int main(int argc, char **argv)
{
    find_functions();
    become_ready();
    if (argc == 3 && strcmp(argv[1], "steady") == 0)
        steady(number(argv[2], 60));
    else if (argc == 2 && strcmp(argv[1], "threads") == 0)
        scale();
    else
        compare(argc > 1 ? number(argv[1], BURSTS_MAX) : BURSTS, argc > 2 ? number(argv[2], 1000000) : CALLS,
                argc > 3 ? number(argv[3], FRAMES_MAX) : FRAMES);
    return 0;
}
