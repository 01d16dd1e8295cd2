/*
 * Schedules with two threads, forced and not hoped for: the loop's thread is stopped at a step of the accept round, this
 * thread calls the listener meanwhile, and must come back: if it waited for the loop's thread, nothing would ever go on.
 * Under SAN=thread the same schedules are looked at for data races.
 */
#include "listener_world.h"

#include <errno.h>
#include <event2/thread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEFORE_LOCK = -1 }; /* the loop has picked our event and called us, and we have not taken the lock yet */
enum {
    WITH_EMFILE = 1,
    WITH_ZERO_LENGTH = 2,
    WITHOUT_CB = 4,
    WITH_ERRORCB = 8,
    WITH_SHED = 16,
    OUTSIDE = 32,
    CHOSEN = 64
};

/* A step to stop at, and what the scene must be like to get there.  OUTSIDE: the round has not begun, or is over: who frees
   then closes at once.  CHOSEN: the callback of the first client is chosen: another one comes too late for that client. */
struct stop {
    int step;
    unsigned with;
};

static const struct stop stops[] = {
    {BEFORE_LOCK, OUTSIDE},
    {EVCONNLISTENER_STEP_REFERENCED, 0},
    {EVCONNLISTENER_STEP_READABLE, 0},
    {EVCONNLISTENER_STEP_ACCEPTED, 0},
    {EVCONNLISTENER_STEP_ZERO_LENGTH, WITH_ZERO_LENGTH},
    {EVCONNLISTENER_STEP_NO_CALLBACK, WITHOUT_CB},
    {EVCONNLISTENER_STEP_CB_ENTER, CHOSEN},
    {EVCONNLISTENER_STEP_CB_LEAVE, CHOSEN},
    {EVCONNLISTENER_STEP_ERROR, WITH_EMFILE},
    {EVCONNLISTENER_STEP_PAUSED, WITH_EMFILE},
    {EVCONNLISTENER_STEP_WARNED, WITH_EMFILE},
    {EVCONNLISTENER_STEP_ERRORCB_ENTER, WITH_EMFILE | WITH_ERRORCB},
    {EVCONNLISTENER_STEP_ERRORCB_LEAVE, WITH_EMFILE | WITH_ERRORCB},
    {EVCONNLISTENER_STEP_SHED, WITH_EMFILE | WITH_SHED},
    {EVCONNLISTENER_STEP_RESUMED, WITH_EMFILE},
    {EVCONNLISTENER_STEP_ROUND_END, CHOSEN},
    {EVCONNLISTENER_STEP_RELEASED, CHOSEN},
};

static struct scene {
    struct world w;
    const struct stop *stop;
    pthread_t thread;
    atomic_bool armed;
    sem_t stopped, go, fenced;
    atomic_int served, others, errors;
} scene;

static void wait_for(sem_t *semaphore)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    if (sem_timedwait(semaphore, &until) != 0)
        fail_msg("waited ten seconds, stop %d", scene.stop->step);
}

static void stop_here(void)
{
    if (!atomic_exchange(&scene.armed, false))
        return;
    sem_post(&scene.stopped);
    while (sem_wait(&scene.go) != 0)
        ;
}

static void stop_before_lock(void)
{
    if (scene.stop->step == BEFORE_LOCK && pthread_equal(pthread_self(), scene.thread))
        stop_here();
}

static void stop_at_step(struct evconnlistener *l, const struct evconnlistener_event *event, void *arg)
{
    (void)l, (void)arg;
    if ((int)event->step == scene.stop->step && pthread_equal(pthread_self(), scene.thread))
        stop_here();
}

static void serve(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int length, void *arg)
{
    (void)l, (void)a, (void)length;
    atomic_fetch_add((atomic_int *)arg, 1);
    close(fd);
}

static void on_error(struct evconnlistener *l, void *arg)
{
    (void)l, (void)arg;
    atomic_fetch_add(&scene.errors, 1);
}

static void *run_loop(void *base)
{
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void on_fence(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    sem_post(&scene.fenced);
}

/* The loop has gone round twice: whatever was waiting has been seen. */
static void fence(void)
{
    struct timeval now = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(event_base_once(scene.w.base, -1, EV_TIMEOUT, on_fence, NULL, &now), 0);
        wait_for(&scene.fenced);
    }
}

static void wait_until(atomic_int *count, int goal)
{
    for (int i = 0; i < 10000 && atomic_load(count) < goal; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(atomic_load(count) >= goal);
}

static const struct evconnlistener_observer observer = {stop_at_step, NULL};

static void scene_begin(const struct stop *stop)
{
    memset(&scene, 0, sizeof scene);
    scene.stop = stop;
    sem_init(&scene.stopped, 0, 0);
    sem_init(&scene.go, 0, 0);
    sem_init(&scene.fenced, 0, 0);
    fault_before_lock = NULL;
    fault_clear();
    world_open(&scene.w, LEV_OPT_THREADSAFE | LEV_OPT_DISABLED | LEV_OPT_REUSEABLE);
    struct evconnlistener *l = scene.w.l;
    assert_int_equal(evconnlistener_set_observer(l, &observer), 0);
    evconnlistener_set_cb(l, serve, &scene.served);
    assert_int_equal(evconnlistener_enable(l), 0);
    if (stop->with & WITHOUT_CB)
        evconnlistener_set_cb(l, NULL, &scene.served);
    if (stop->with & WITH_ERRORCB)
        evconnlistener_set_error_cb(l, on_error);
    if (stop->with & WITH_SHED)
        assert_int_equal(evconnlistener_set_policy(l, EVCONNLISTENER_POLICY_SHED), 0);
    if (stop->with & WITH_EMFILE)
        fault_set(FAULT_ACCEPT4, EMFILE, 1, 1);
    if (stop->with & WITH_ZERO_LENGTH)
        fault_set_zero_length(1, 1);
    world_connect_many(&scene.w, 2);
    atomic_store(&scene.armed, true);
    fault_before_lock = stop_before_lock;
    assert_int_equal(pthread_create(&scene.thread, NULL, run_loop, scene.w.base), 0);
    wait_for(&scene.stopped);
}

static void scene_go_on(void)
{
    sem_post(&scene.go);
    fence();
}

static void scene_end(void)
{
    assert_int_equal(event_base_loopbreak(scene.w.base), 0);
    pthread_join(scene.thread, NULL);
    fault_before_lock = NULL;
    world_close(&scene.w);
    sem_destroy(&scene.stopped);
    sem_destroy(&scene.go);
    sem_destroy(&scene.fenced);
}

static int given(void)
{
    return atomic_load(&scene.served) + atomic_load(&scene.others);
}

static void at_every_stop(void (*schedule)(const struct stop *))
{
    assert_int_equal(evthread_use_pthreads(), 0);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        printf("stop at %s\n", stops[i].step < 0 ? "before_lock" : evconnlistener_step_name((unsigned)stops[i].step));
        scene_begin(&stops[i]);
        schedule(&stops[i]);
        scene_end();
    }
}

/* --- free ------------------------------------------------------------------------------------------------------------ */

static void frees(const struct stop *stop)
{
    int fd = evconnlistener_get_fd(scene.w.l);
    evconnlistener_free(scene.w.l);
    scene.w.l = NULL;
    assert_int_equal(world_fd_is_open(fd), !(stop->with & OUTSIDE)); /* in use by the loop's thread: it closes */
    scene_go_on();
    assert_int_equal(world_bind_again(&scene.w), 0);
    assert_int_equal(given(), stop->step == EVCONNLISTENER_STEP_ROUND_END || stop->step == EVCONNLISTENER_STEP_RELEASED
                                  ? 2
                                  : (stop->with & CHOSEN ? 1 : 0)); /* who was chosen before is called, nobody after */
}

static void free_at_every_step(void **state)
{
    (void)state;
    at_every_stop(frees);
}

/* --- disable ---------------------------------------------------------------------------------------------------------- */

static void disables(const struct stop *stop)
{
    (void)stop;
    assert_int_equal(evconnlistener_disable(scene.w.l), 0);
    scene_go_on();
    int before = given();
    world_connect(&scene.w);
    fence();
    assert_int_equal(given(), before);
    assert_true(world_is_waiting(&scene.w));
    assert_int_equal(evconnlistener_enable(scene.w.l), 0);
    if (!(stop->with & WITHOUT_CB))
        wait_until(&scene.served, before + 1);
}

static void disable_at_every_step(void **state)
{
    (void)state;
    at_every_stop(disables);
}

static void disables_and_frees(const struct stop *stop)
{
    int fd = evconnlistener_get_fd(scene.w.l);
    assert_int_equal(evconnlistener_disable(scene.w.l), 0);
    evconnlistener_free(scene.w.l);
    scene.w.l = NULL;
    assert_int_equal(world_fd_is_open(fd), !(stop->with & OUTSIDE));
    scene_go_on();
    assert_int_equal(world_bind_again(&scene.w), 0);
}

static void disable_and_free_at_every_step(void **state)
{
    (void)state;
    at_every_stop(disables_and_frees);
}

/* --- enable, and disable with enable ------------------------------------------------------------------------------------- */

static int clients_served(const struct stop *stop)
{
    if (stop->with & (WITHOUT_CB | WITH_SHED))
        return 0;
    return stop->with & WITH_ZERO_LENGTH ? 1 : 2;
}

static void enables(const struct stop *stop)
{
    assert_int_equal(evconnlistener_enable(scene.w.l), 0);
    scene_go_on();
    wait_until(&scene.served, clients_served(stop));
}

static void enable_at_every_step(void **state)
{
    (void)state;
    at_every_stop(enables);
}

static void disables_and_enables(const struct stop *stop)
{
    assert_int_equal(evconnlistener_disable(scene.w.l), 0);
    enables(stop);
}

static void disable_and_enable_at_every_step(void **state)
{
    (void)state;
    at_every_stop(disables_and_enables);
}

/* --- set_cb, set_error_cb ----------------------------------------------------------------------------------------------- */

static void sets_cb(const struct stop *stop)
{
    evconnlistener_set_cb(scene.w.l, serve, &scene.others);
    int before = atomic_load(&scene.served);
    scene_go_on();
    world_connect(&scene.w);
    wait_until(&scene.others, 1);
    /* The one that was chosen is called, at most; from then on the new one. */
    assert_true(atomic_load(&scene.served) - before <= (stop->step == EVCONNLISTENER_STEP_CB_ENTER));
}

static void set_cb_at_every_step(void **state)
{
    (void)state;
    at_every_stop(sets_cb);
}

static void sets_cb_to_null(const struct stop *stop)
{
    evconnlistener_set_cb(scene.w.l, NULL, NULL);
    int before = atomic_load(&scene.served);
    scene_go_on();
    int last = world_connect(&scene.w);
    assert_true(world_is_closed(last));
    assert_true(atomic_load(&scene.served) - before <= (stop->step == EVCONNLISTENER_STEP_CB_ENTER));
}

static void set_cb_to_null_at_every_step(void **state)
{
    (void)state;
    at_every_stop(sets_cb_to_null);
}

static void sets_error_cb(const struct stop *stop)
{
    evconnlistener_set_error_cb(scene.w.l, on_error);
    scene_go_on();
    bool in_time = stop->step == EVCONNLISTENER_STEP_ERROR || stop->step == EVCONNLISTENER_STEP_PAUSED ||
                   stop->step == EVCONNLISTENER_STEP_SHED || stop->with & WITH_ERRORCB;
    assert_int_equal(atomic_load(&scene.errors), in_time);
    evconnlistener_set_error_cb(scene.w.l, NULL);
}

static void set_error_cb_at_every_step(void **state)
{
    (void)state;
    at_every_stop(sets_error_cb);
}

/* --- Ours ------------------------------------------------------------------------------------------------------------------ */

static void uses_all_of_ours(const struct stop *stop)
{
    struct evconnlistener *l = scene.w.l;
    struct evconnlistener_counters c;
    assert_int_equal(evconnlistener_retry_now(l), 0);
    assert_int_equal(evconnlistener_get_counters(l, &c, sizeof c), 0);
    assert_int_equal(evconnlistener_set_policy(l, EVCONNLISTENER_POLICY_SHED), 0);
    assert_int_equal(evconnlistener_set_policy(l, EVCONNLISTENER_POLICY_BACKOFF), 0);
    assert_int_equal(evconnlistener_set_option(l, EVCONNLISTENER_OPT_ADAPTIVE, 1), 0);
    assert_int_equal(evconnlistener_set_accept_cap(l, 1), 0);
    assert_int_equal(evconnlistener_set_trouble_cb(l, NULL, NULL), 0);
    assert_true(evconnlistener_get_fd(l) >= 0);
    assert_non_null(evconnlistener_get_base(l));
    scene_go_on();
    wait_until(&scene.served, clients_served(stop));
    assert_int_equal(evconnlistener_set_observer(l, NULL), 0);
}

static void our_functions_at_every_step(void **state)
{
    (void)state;
    at_every_stop(uses_all_of_ours);
}

/* --- Not stopped: everything at once ------------------------------------------------------------------------------------------ */

static atomic_bool storm_over;

static void *storm(void *arg)
{
    struct evconnlistener *l = arg;
    while (!atomic_load(&storm_over)) {
        evconnlistener_disable(l);
        evconnlistener_set_cb(l, serve, &scene.others);
        evconnlistener_enable(l);
        evconnlistener_retry_now(l);
        evconnlistener_set_cb(l, serve, &scene.served);
        evconnlistener_set_error_cb(l, on_error);
    }
    return NULL;
}

static void storm_loses_no_client(void **state)
{
    static const struct stop never = {EVCONNLISTENER_STEP_COUNT, 0};
    pthread_t thread;
    (void)state;
    assert_int_equal(evthread_use_pthreads(), 0);
    scene.stop = &never;
    world_open(&scene.w, LEV_OPT_THREADSAFE | LEV_OPT_REUSEABLE);
    evconnlistener_set_cb(scene.w.l, serve, &scene.served);
    fault_set(FAULT_ACCEPT4, EMFILE, 50, 80);
    assert_int_equal(pthread_create(&scene.thread, NULL, run_loop, scene.w.base), 0);
    assert_int_equal(pthread_create(&thread, NULL, storm, scene.w.l), 0);
    world_connect_many(&scene.w, 200);
    for (int i = 0; i < 10000 && given() < 200; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(given(), 200);
    atomic_store(&storm_over, true);
    pthread_join(thread, NULL);
    evconnlistener_free(scene.w.l);
    scene.w.l = NULL;
    event_base_loopbreak(scene.w.base);
    pthread_join(scene.thread, NULL);
    assert_int_equal(world_bind_again(&scene.w), 0);
    world_close(&scene.w);
}

TEST_MAIN(TEST(free_at_every_step, .seconds = 60), TEST(disable_at_every_step, .seconds = 60),
          TEST(disable_and_free_at_every_step, .seconds = 60), TEST(enable_at_every_step, .seconds = 60),
          TEST(disable_and_enable_at_every_step, .seconds = 60), TEST(set_cb_at_every_step, .seconds = 60),
          TEST(set_cb_to_null_at_every_step, .seconds = 60), TEST(set_error_cb_at_every_step, .seconds = 60),
          TEST(our_functions_at_every_step, .seconds = 60), TEST(storm_loses_no_client, .seconds = 60))
