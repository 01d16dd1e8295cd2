/*
 * The fault sweep: call 1 fails, then call 2, then 3, ... until a run in which nothing fired.  Every run must end in a
 * listener that works or in none, with no descriptor and no memory left (the harness looks at the descriptors, the
 * sanitizer build at the memory).  Counted are our own calls and libevent's allocations.
 */
#include "listener_world.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SWEEP_MOST = 200 };

/* libevent's memory, with the same countdown. */
static unsigned memory_left;
static bool memory_fired;

static bool memory_fails(void)
{
    if (memory_left == 0 || --memory_left > 0)
        return false;
    memory_fired = true;
    errno = ENOMEM;
    return true;
}

static void *memory_malloc(size_t size)
{
    return memory_fails() ? NULL : malloc(size);
}

static void *memory_realloc(void *old, size_t size)
{
    return memory_fails() ? NULL : realloc(old, size);
}

static const int errors[] = {EMFILE, ENOMEM, EINVAL, ECONNABORTED, ENOSYS, EACCES, EINTR};

static bool sweep_one(void (*scene)(unsigned), unsigned flags, unsigned nth, int error)
{
    if (error == 0) {
        memory_left = nth;
        memory_fired = false;
    } else {
        fault_sweep(nth, error);
    }
    scene(flags);
    bool fired = error == 0 ? memory_fired : fault_fired();
    memory_left = 0;
    fault_clear();
    return fired;
}

static void sweep(void (*scene)(unsigned), unsigned flags)
{
    for (size_t i = 0; i <= sizeof errors / sizeof errors[0]; i++) {
        int error = i < sizeof errors / sizeof errors[0] ? errors[i] : 0;
        unsigned nth = 1;
        while (nth < SWEEP_MOST && sweep_one(scene, flags, nth, error))
            nth++;
        assert_true(nth < SWEEP_MOST);
        assert_true(error == 0 || nth > 1); /* something did fire */
    }
}

static struct world *world; /* of the present scene; its base and its clients are made before the fault is armed */

static void free_if_any(void)
{
    if (world->l)
        evconnlistener_free(world->l);
    world->l = NULL;
}

static void scene_new_bind(unsigned flags)
{
    errno = 0;
    world->l = world_bind(world, flags | LEV_OPT_REUSEABLE);
    assert_true(world->l != NULL || errno != 0);
    free_if_any();
    world_turn(world);
}

static void scene_new(unsigned flags)
{
    int fd = dup(evconnlistener_get_fd(world->l));
    assert_true(fd >= 0);
    struct evconnlistener *l = evconnlistener_new(world->base, world_on_accept, world, flags, 5, fd);
    if (l)
        evconnlistener_free(l);
    assert_true(world_fd_is_open(fd)); /* whether it failed or not: no CLOSE_ON_FREE */
    close(fd);
    world_turn(world);
}

/* Two clients; whatever fails, they are served, or turned away by the fault, within a few rounds. */
static void scene_round(unsigned flags)
{
    (void)flags;
    int client = world_connect(world);
    for (int i = 0; i < 100 && (world->accepted_count == 0 || world_is_waiting(world)) && world->l->enabled; i++) {
        world_turn(world);
        evconnlistener_retry_now(world->l);
    }
    assert_true(!world->l->enabled || world->accepted_count > 0 || world_is_closed(client));
    evconnlistener_enable(world->l);
    world_forget_accepted(world);
    close(client);
    world->client_count = 0;
}

/* A pause is in the way of the free. */
static void scene_free(unsigned flags)
{
    world->l = world_bind(world, flags);
    if (world->l) {
        loop_pause((struct event_listener *)world->l);
        evconnlistener_retry_now(world->l);
        loop_pause((struct event_listener *)world->l);
    }
    free_if_any();
    world_turn(world);
}

static const unsigned all_flags[] = {0, LEV_OPT_THREADSAFE, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE_PORT,
                                     LEV_OPT_DISABLED | EVCONNLISTENER_OPT_PAUSE_BACKLOG};

static void ignore_log(int severity, const char *text)
{
    (void)severity, (void)text;
}

static void sweep_flags(void (*scene)(unsigned), bool with_listener)
{
    event_set_mem_functions(memory_malloc, memory_realloc, free);
    event_set_log_callback(ignore_log);
    for (size_t i = 0; i < sizeof all_flags / sizeof all_flags[0]; i++) {
        struct world w;
        world_open_base(&w);
        if (with_listener) {
            event_base_free(w.base);
            world_open(&w, all_flags[i] & ~(unsigned)LEV_OPT_DISABLED);
        }
        world = &w;
        sweep(scene, all_flags[i]);
        world_close(&w);
    }
}

static void new_bind_and_free(void **state)
{
    (void)state;
    sweep_flags(scene_new_bind, false);
}

static void new_and_free(void **state)
{
    (void)state;
    sweep_flags(scene_new, true);
}

static void round_and_errors(void **state)
{
    (void)state;
    sweep_flags(scene_round, true);
}

static void free_while_paused(void **state)
{
    (void)state;
    sweep_flags(scene_free, false);
}

static void shed_policy(void **state)
{
    (void)state;
    assert_int_equal(evconnlistener_set_default_policy(EVCONNLISTENER_POLICY_SHED), 0);
    sweep_flags(scene_new_bind, false);
    sweep_flags(scene_round, true);
}

TEST_MAIN(TEST(new_bind_and_free), TEST(new_and_free), TEST(round_and_errors, .seconds = 120), TEST(free_while_paused),
          TEST(shed_policy, .seconds = 120))
