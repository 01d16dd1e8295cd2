/*
 * threads.c - LEV_OPT_THREADSAFE: a second thread disables the listener while its callback runs, and does not wait for it.
 */
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool in_callback, is_disabled;
static pthread_t second;

static void say(bool *flag)
{
    pthread_mutex_lock(&lock);
    *flag = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Waits until *FLAG; at most half a second, so that a deadlock shows and does not last. */
static bool await(const bool *flag)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 500000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    int error = 0;
    while (!*flag && error == 0)
        error = pthread_cond_timedwait(&changed, &lock, &until);
    bool set = *flag;
    pthread_mutex_unlock(&lock);
    return set;
}

static void *second_thread(void *arg)
{
    (void)arg;
    while (!await(&in_callback)) {
    }
    doing("disable", -1);
    evconnlistener_disable(listener);
    did("disable_returned", -1, 0);
    say(&is_disabled);
    return NULL;
}

/* Would wait for ever if evconnlistener_disable() waited for the callback. */
static void on_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length, void *arg)
{
    (void)l, (void)address, (void)length, (void)arg;
    doing("callback_waits", fd);
    say(&in_callback);
    bool in_time = await(&is_disabled);
    did(in_time ? "callback_goes_on" : "callback_waited_in_vain", fd, 0);
    doing("close", fd);
    close(fd);
}

static int start(void)
{
    unsigned flags = USUAL | LEV_OPT_THREADSAFE;
    listener = evconnlistener_new_bind(base, on_client, NULL, flags, -1, LOOPBACK);
    did("made", fd_of(listener), 0);
    if (listener == NULL)
        return -1;
    tell_queue_of(evconnlistener_get_fd(listener));
    return pthread_create(&second, NULL, second_thread, NULL) == 0 ? 0 : -1;
}

static void stop(void)
{
    say(&in_callback);
    pthread_join(second, NULL);
}

const struct server servers_threads[] = {
    {.name = "threads", .start = start, .end = stop, .threads = true},
    {.name = NULL},
};
