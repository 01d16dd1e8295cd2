/*
 * wrong HABIT PORT: an echo server on 127.0.0.1:PORT that answers each line with the line, and does one thing wrong when
 * accept fails.  HABIT is the verdict that this earns it, or:
 *
 *   right      waits a moment and goes on
 *   quiet      as right, and says nothing when it can't start
 *   worker     a worker of it aborts, and another takes its place
 *   sanitized  prints a sanitizer's report, and goes on
 *   markup     as spun, and prints markup and control characters
 *   blocks     as right, and waits in accept
 *   forks      as blocks, with a child for each client, whose end interrupts accept; a client without an address it drops
 *   twice      as right, on PORT and on PORT + 1
 *   bomb       makes hundreds of processes
 *   logs       as right, and writes without end to its output
 *   stuck      does nothing any more, not even end, when its bind fails; else as right
 *   threads    as right, with four threads that accept
 *   strikes    as threads, and executes what is no instruction
 *   handles    as strikes, with a handler that says so and exits
 *   sulks      as right, and closes all clients of the next half second
 *   moves      as right, and listens on another port each time, whatever PORT says
 *   daemon     as right, in the background
 *   terminal   as right, if it has a terminal
 *   seventh    as right, and exits when accept fails the seventh time
 *   over       ends at once, with status 0
 *   learns     as right, and from its second start on sets two options more before it listens
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 512, WORKERS = 2, THREADS = 4, CHILDREN = 700 };

static const char *habit;
static int spare = -1;
static bool unlucky;            /* the next client is closed at once */
static struct timespec sulking; /* until then, all are */

static bool is(const char *name)
{
    return strcmp(habit, name) == 0;
}

static _Noreturn void fail(const char *what)
{
    if (!is("quiet"))
        perror(what);
    exit(1);
}

static void rest(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Returns whether it was started before, in this folder. */
static bool has_learnt(void)
{
    int fd = open("learnt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return true;
    close(fd);
    return false;
}

static void sulk(void)
{
    clock_gettime(CLOCK_MONOTONIC, &sulking);
    sulking.tv_nsec += 500000000;
    sulking.tv_sec += sulking.tv_nsec / 1000000000;
    sulking.tv_nsec %= 1000000000;
}

static bool sulks(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < sulking.tv_sec || (now.tv_sec == sulking.tv_sec && now.tv_nsec < sulking.tv_nsec);
}

static _Noreturn void hang(void)
{
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

static void write_for_ever(void)
{
    static char line[4096];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    while (write(STDOUT_FILENO, line, sizeof line) > 0) {
    }
}

/* The functions that make calls stay what they are: call sites are called by them. */
#define KEPT __attribute__((noinline))

KEPT static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1,
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (is("blocks") || is("forks") ? 0 : SOCK_NONBLOCK), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket");
    for (int i = 0; i < (is("learns") && has_learnt() ? 3 : 1); i++)
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
            fail("setsockopt");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (is("stuck"))
            hang();
        fail("bind");
    }
    if (listen(fd, 128) != 0)
        fail("listen");
    return fd;
}

/* As those do that keep a descriptor for this. */
KEPT static void shed(int listener)
{
    close(spare);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void print_markup(void)
{
    static const char text[] = "</pre><script>alert('snag')</script> & ]]> \033[31m \001 \xff\xfe \"quoted\"\n";
    fwrite(text, 1, sizeof text - 1, stderr);
}

/* More than a case may have, each with an end of its own. */
static void make_children(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            alarm(20);
            pause();
        }
    }
}

KEPT static void strike(void)
{
    __builtin_trap(); /* a signal that sanitizers let be */
}

static void say_and_exit(int number)
{
    static const char text[] = "struck\n";
    (void)number;
    _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 3 : 4);
}

/* Returns whether the server goes on accepting. */
static bool misbehave(int listener, int error)
{
    static int failures;
    bool shortage = error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
    if (is("flooded"))
        fprintf(stderr, "accept: %s\n", strerror(error));
    if (is("exited") || is("respawned") || (is("seventh") && ++failures == 7))
        exit(9);
    if (is("crashed") || is("worker"))
        abort();
    if (is("strikes") || is("handles"))
        strike();
    if (is("deaf"))
        return false;
    if (is("leaked"))
        open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (is("unstoppable"))
        signal(SIGTERM, SIG_IGN);
    if (is("sanitized"))
        fputs("==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n", stderr);
    if (is("markup"))
        print_markup();
    if (is("bomb"))
        make_children();
    if (is("logs"))
        write_for_ever();
    if (is("shed") && shortage)
        shed(listener);
    if (is("sulks"))
        sulk();
    unlucky = is("dropped");
    if (is("slow"))
        rest(700);
    else if (is("flooded"))
        rest(3);
    else if (!is("spun") && !is("markup") && !is("leaked"))
        rest(20);
    return true;
}

static struct pollfd fds[CLIENTS];
static nfds_t count;

static void drop(nfds_t i)
{
    close(fds[i].fd);
    fds[i] = fds[--count];
}

static void serve(nfds_t i)
{
    char data[4096];
    ssize_t length = read(fds[i].fd, data, sizeof data);
    if (length <= 0 || write(fds[i].fd, data, (size_t)length) != length)
        drop(i);
}

KEPT static void take(nfds_t i)
{
    int fd = accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && !misbehave(fds[i].fd, errno))
            fds[i].events = 0;
        return;
    }
    if (unlucky || sulks() || count == CLIENTS) {
        close(fd);
        unlucky = false;
        return;
    }
    fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static _Noreturn void loop(const int *listeners, nfds_t listening)
{
    for (nfds_t i = 0; i < listening; i++)
        fds[count++] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
    for (;;) {
        if (poll(fds, count, -1) < 0 && errno != EINTR)
            fail("poll");
        for (nfds_t i = count; i-- > 0;)
            if (fds[i].revents && i >= listening)
                serve(i);
        for (nfds_t i = 0; i < listening; i++)
            if (fds[i].revents & POLLIN)
                take(i);
    }
}

/* One client after the other; while there is none, it waits in accept. */
KEPT static void *block(void *context)
{
    int listener = *(const int *)context;
    for (;;) {
        char data[4096];
        ssize_t length;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && !misbehave(listener, errno))
            pause();
        while (fd >= 0 && (length = read(fd, data, sizeof data)) > 0)
            if (write(fd, data, (size_t)length) != length)
                break;
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static void on_child(int signal)
{
    (void)signal;
}

static void serve_in_child(int fd)
{
    char data[4096];
    ssize_t length;
    if (fork() == 0) {
        if ((length = read(fd, data, sizeof data)) > 0 && write(fd, data, (size_t)length) != length)
            _exit(1);
        _exit(0);
    }
    close(fd);
}

/* As vsftpd. */
KEPT static _Noreturn void fork_for_each(int listener)
{
    struct sigaction action = {.sa_handler = on_child}; /* no SA_RESTART */
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        struct sockaddr_in peer = {.sin_family = AF_INET};
        socklen_t length = sizeof peer;
        int fd = accept(listener, (struct sockaddr *)&peer, &length);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        if (fd >= 0 && length == 0)
            close(fd);
        else if (fd >= 0)
            serve_in_child(fd);
    }
}

static _Noreturn void accept_in_threads(int listener)
{
    pthread_t thread;
    fcntl(listener, F_SETFL, 0);
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&thread, NULL, block, &listener) != 0)
            fail("pthread_create");
    block(&listener);
    exit(1);
}

static volatile sig_atomic_t over;

static void on_term(int signal)
{
    (void)signal;
    over = 1;
    kill(0, SIGKILL);
}

static _Noreturn void keep_workers(int listener)
{
    signal(SIGTERM, on_term);
    for (int running = 0; !over;) {
        pid_t pid = running < WORKERS ? fork() : 0;
        if (running < WORKERS && pid == 0) {
            signal(SIGTERM, SIG_DFL);
            loop(&listener, 1);
        }
        running += running < WORKERS;
        if (running == WORKERS && wait(NULL) > 0)
            running--;
    }
    exit(0);
}

int main(int argc, char **argv)
{
    int listeners[2];
    if (argc != 3) {
        fputs("usage: wrong HABIT PORT\n", stderr);
        return 2;
    }
    habit = argv[1];
    if (is("over"))
        return 0;
    if (is("terminal") && !isatty(STDIN_FILENO))
        fail("no terminal");
    if (is("daemon") && daemon(1, 1) != 0)
        fail("daemon");
    listeners[0] = listen_on(is("moves") ? 0 : atoi(argv[2]));
    listeners[1] = is("twice") ? listen_on(atoi(argv[2]) + 1) : -1;
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (is("respawned") || is("worker"))
        keep_workers(listeners[0]);
    if (is("blocks"))
        block(listeners);
    if (is("forks"))
        fork_for_each(listeners[0]);
    if (is("handles")) {
        signal(SIGILL, say_and_exit);
        signal(SIGTRAP, say_and_exit);
    }
    if (is("threads") || is("strikes") || is("handles"))
        accept_in_threads(listeners[0]);
    loop(listeners, is("twice") ? 2 : 1);
}
