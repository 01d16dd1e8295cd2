/* Where the listener is better than libevent's: classes, policies, spins, reports, counters, observer, batches, log. */
#include "listener_world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Classes ------------------------------------------------------------------------------------------------------ */

static void errors_have_their_classes(void **state)
{
    static const struct {
        enum evconnlistener_class class;
        int errors[16];
    } rows[] = {
        {EVCONNLISTENER_CLASS_DRAINED, {EAGAIN, EWOULDBLOCK, EINTR}},
        {EVCONNLISTENER_CLASS_CONNECTION,
         {ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT,
          ECONNRESET, ENOSR, ESOCKTNOSUPPORT, EPROTONOSUPPORT}},
        {EVCONNLISTENER_CLASS_RESOURCE, {EMFILE, ENFILE, ENOMEM, ENOBUFS, ENOSYS, EIO, 12345}},
        {EVCONNLISTENER_CLASS_PERMISSION, {EPERM, EACCES}},
        {EVCONNLISTENER_CLASS_FATAL, {EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (const int *error = rows[i].errors; *error; error++)
            assert_int_equal(evconnlistener_error_class(*error), rows[i].class);
    assert_string_equal(evconnlistener_class_name(EVCONNLISTENER_CLASS_FATAL), "fatal");
    assert_string_equal(evconnlistener_action_name(EVCONNLISTENER_ACTION_SHED), "shed");
    assert_string_equal(evconnlistener_step_name(EVCONNLISTENER_STEP_FREED), "freed");
    assert_string_equal(evconnlistener_class_name((enum evconnlistener_class)99), "?");
}

static void open_told(struct world *w, unsigned flags)
{
    world_open(w, flags);
    evconnlistener_set_error_cb(w->l, world_on_error);
    evconnlistener_set_trouble_cb(w->l, world_on_trouble, w);
}

/* A listener on a descriptor that waits in accept, as systemd hands them over. */
static void open_blocking(struct world *w)
{
    world_open(w, 0);
    int fd = dup(evconnlistener_get_fd(w->l));
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    evconnlistener_free(w->l);
    w->l = evconnlistener_new(w->base, world_on_accept, w, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    assert_non_null(w->l);
    evconnlistener_set_trouble_cb(w->l, world_on_trouble, w);
}

/* One turn in which accept fails with ERROR at once, a client waiting. */
static void fail_once(struct world *w, int error)
{
    fault_set(FAULT_ACCEPT4, error, 1, 0);
    fault_set(FAULT_ACCEPT, error, 1, 0);
    if (w->client_count == 0)
        world_connect(w);
    world_turn(w);
    fault_clear();
}

static void each_class_has_its_action_at_each_position(void **state)
{
    static const struct {
        int error;
        enum evconnlistener_class class;
        enum evconnlistener_action action;
    } rows[] = {
        {EMFILE, EVCONNLISTENER_CLASS_RESOURCE, EVCONNLISTENER_ACTION_PAUSE},
        {ENOBUFS, EVCONNLISTENER_CLASS_RESOURCE, EVCONNLISTENER_ACTION_PAUSE},
        {EIO, EVCONNLISTENER_CLASS_RESOURCE, EVCONNLISTENER_ACTION_PAUSE},
        {EPERM, EVCONNLISTENER_CLASS_PERMISSION, EVCONNLISTENER_ACTION_PAUSE},
        {EPROTO, EVCONNLISTENER_CLASS_CONNECTION, EVCONNLISTENER_ACTION_NEXT},
        {EOPNOTSUPP, EVCONNLISTENER_CLASS_CONNECTION, EVCONNLISTENER_ACTION_NEXT}, /* it does listen */
        {ENOTSOCK, EVCONNLISTENER_CLASS_FATAL, EVCONNLISTENER_ACTION_DISABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned k = 0; k < 3; k++) {
            struct world w;
            open_told(&w, 0);
            fault_set(FAULT_ACCEPT4, rows[i].error, k + 1, k + 1);
            world_connect_many(&w, 3);
            world_turn(&w);
            bool next = rows[i].action == EVCONNLISTENER_ACTION_NEXT;
            assert_int_equal(w.accepted_count, next ? 3 : k);
            assert_int_equal(w.troubles, 1);
            assert_int_equal(w.trouble.error, rows[i].error);
            assert_int_equal(w.trouble.error_class, rows[i].class);
            assert_int_equal(w.trouble.action, rows[i].action);
            assert_int_equal(w.trouble.delay_ms, rows[i].action == EVCONNLISTENER_ACTION_PAUSE ? 10 : 0);
            assert_int_equal(w.errors, next ? 0 : 1);
            assert_int_equal(w.l->enabled, rows[i].action != EVCONNLISTENER_ACTION_DISABLE);
            world_close(&w);
        }
    }
}

/* --- Pauses --------------------------------------------------------------------------------------------------------- */

static void pauses_double_to_a_second_and_start_again_after_a_success(void **state)
{
    static const unsigned delays[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000};
    struct world w;
    (void)state;
    open_told(&w, 0);
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        fail_once(&w, EMFILE);
        assert_int_equal(w.trouble.delay_ms, delays[i]);
        assert_int_equal(evconnlistener_retry_now(w.l), 0);
    }
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_connect(&w);
    fail_once(&w, EMFILE);
    assert_int_equal(w.trouble.delay_ms, 10);
    struct evconnlistener_counters c = world_counters(&w);
    assert_int_equal(c.backoffs, 10);
    assert_int_equal(c.resource, 10);
    assert_int_equal(c.reported, 10);
    world_close(&w);
}

static void paused_listener_is_out_of_the_loop_and_comes_back_by_itself(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fail_once(&w, EMFILE);
    assert_false(event_pending(&((struct event_listener *)w.l)->readable, EV_READ, NULL));
    assert_true(event_pending(&((struct event_listener *)w.l)->resume, EV_TIMEOUT, NULL));
    world_run_until(&w, &w.accepted_count, 1);
    assert_true(world_counters(&w).paused_ns >= 9000000);
    world_close(&w);
}

static void disable_cancels_the_pause(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fail_once(&w, EMFILE);
    assert_int_equal(evconnlistener_disable(w.l), 0);
    assert_int_equal(event_base_dispatch(w.base), 1); /* no timer is left in the loop */
    assert_int_equal(evconnlistener_enable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void enable_does_not_cut_a_pause_short(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fail_once(&w, EMFILE);
    assert_int_equal(evconnlistener_enable(w.l), 0);
    assert_true(((struct event_listener *)w.l)->paused);
    assert_false(((struct event_listener *)w.l)->in_loop);
    world_close(&w);
}

static void retries(struct world *w)
{
    evconnlistener_retry_now(w->l);
}

static void retry_now_ends_a_pause_and_else_does_nothing(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_retry_now(w.l), 0);
    w.in_errorcb = retries;
    fail_once(&w, EMFILE);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void pause_without_a_timer_is_no_pause(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fault_set(FAULT_EVENT_ADD, ENOMEM, 1, 1);
    fail_once(&w, EMFILE);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_RETURN);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void coming_back_that_fails_is_tried_again(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fail_once(&w, EMFILE);
    fault_set(FAULT_EVENT_ADD, ENOMEM, 1, 1);
    assert_int_equal(evconnlistener_retry_now(w.l), -1);
    assert_int_equal(errno, ENOMEM);
    fault_clear();
    world_run_until(&w, &w.accepted_count, 1);
    world_close(&w);
}

static int queue_of(struct world *w)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    assert_int_equal(getsockopt(evconnlistener_get_fd(w->l), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return (int)info.tcpi_sacked;
}

static void backlog_is_0_while_paused_if_asked(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, EVCONNLISTENER_OPT_PAUSE_BACKLOG);
    fail_once(&w, EMFILE);
    assert_int_equal(queue_of(&w), 0);
    evconnlistener_set_option(w.l, EVCONNLISTENER_OPT_PAUSE_BACKLOG, 0);
    evconnlistener_retry_now(w.l);
    assert_int_equal(queue_of(&w), 128);
    evconnlistener_set_option(w.l, EVCONNLISTENER_OPT_PAUSE_BACKLOG, 1);
    fail_once(&w, EMFILE);
    assert_int_equal(queue_of(&w), 0);
    evconnlistener_disable(w.l);
    assert_int_equal(queue_of(&w), 128);
    evconnlistener_enable(w.l);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1); /* who was in the queue has kept the place */
    world_close(&w);
}

static void sixty_four_lost_clients_end_the_round(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fault_set(FAULT_ACCEPT4, ECONNABORTED, 1, 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 64);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    assert_int_equal(w.troubles, 64);
    assert_int_equal(w.errors, 0); /* libevent's error callback never hears of a lost client */
    fault_clear();
    world_run_until(&w, &w.accepted_count, 1);
    world_close(&w);
}

static void lost_client_on_a_blocking_descriptor_ends_the_round(void **state)
{
    struct world w;
    (void)state;
    open_blocking(&w);
    world_connect(&w);
    fault_set(FAULT_ACCEPT4, ECONNABORTED, 1, 1);
    world_turn(&w);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 1); /* a second one might wait */
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_NEXT);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void cap_holds_for_lost_clients_too_and_they_do_not_spin(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_accept_cap(w.l, 3), 0);
    world_connect(&w);
    fault_set(FAULT_ACCEPT4, ECONNABORTED, 1, 0);
    for (unsigned turn = 1; turn <= 21; turn++) {
        world_turn(&w);
        assert_int_equal(fault_calls(FAULT_ACCEPT4), 3 * turn);
        assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_NEXT);
    }
    world_turn(&w);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 64);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    assert_int_equal(w.errors, 0);
    fault_clear();
    world_run_until(&w, &w.accepted_count, 1);
    world_close(&w);
}

static void lost_clients_between_others_do_not_pause(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_accept_cap(w.l, 1), 0);
    for (int i = 0; i < 70; i++) {
        world_connect(&w);
        fault_set(FAULT_ACCEPT4, ECONNABORTED, 1, 1);
        world_turn(&w);
        world_turn(&w);
        assert_int_equal(w.accepted_count, i + 1);
    }
    assert_int_equal(world_counters(&w).backoffs, 0);
    world_close(&w);
}

/* --- Fatal ------------------------------------------------------------------------------------------------------------ */

static void fatal_error_is_told_and_disables(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fail_once(&w, EBADF);
    world_turn(&w);
    assert_int_equal(w.errors, 1);
    assert_int_equal(w.last_error, EBADF);
    assert_int_equal(w.accepted_count, 0);
    assert_int_equal(evconnlistener_enable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

/* --- The three spins, measured ------------------------------------------------------------------------------------------ */

enum { SPIN_MS = 400, SPINS = 400, CALM = 8 };

static uint64_t wakeups_in(struct world *w, unsigned ms)
{
    uint64_t before = world_counters(w).wakeups;
    world_run_ms(w, ms);
    return world_counters(w).wakeups - before;
}

static uint64_t wakeups_with_emfile(enum evconnlistener_policy policy)
{
    struct world w;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, policy), 0);
    world_connect(&w);
    world_turn(&w); /* what libevent opens for itself is open */
    world_connect(&w);
    int limit = file_limit_hold();
    uint64_t wakeups = wakeups_in(&w, SPIN_MS);
    file_limit_end(limit);
    assert_int_equal(w.last_error, EMFILE);
    assert_int_equal(w.accepted_count, 1);
    world_run_until(&w, &w.accepted_count, 2); /* who waited is served */
    world_close(&w);
    return wakeups;
}

static void emfile_spins_with_libevent_and_not_with_backoff(void **state)
{
    (void)state;
    assert_true(wakeups_with_emfile(EVCONNLISTENER_POLICY_LIBEVENT) > SPINS);
    assert_true(wakeups_with_emfile(EVCONNLISTENER_POLICY_BACKOFF) <= CALM);
}

static uint64_t wakeups_after_shut_rd(struct world *w, enum evconnlistener_policy policy)
{
    evconnlistener_set_error_cb(w->l, world_on_error);
    assert_int_equal(evconnlistener_set_policy(w->l, policy), 0);
    assert_int_equal(shutdown(evconnlistener_get_fd(w->l), SHUT_RD), 0);
    return wakeups_in(w, SPIN_MS);
}

static void tcp_shut_rd_spins_with_libevent_and_not_with_backoff(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    assert_true(wakeups_after_shut_rd(&w, EVCONNLISTENER_POLICY_LIBEVENT) > SPINS);
    world_close(&w);
    world_open(&w, 0);
    assert_int_equal(wakeups_after_shut_rd(&w, EVCONNLISTENER_POLICY_BACKOFF), 1);
    assert_int_equal(w.errors, 1);
    assert_int_equal(w.last_error, EINVAL);
    assert_false(w.l->enabled);
    world_close(&w);
}

static void unix_shut_rd_spins_with_libevent_and_not_with_backoff(void **state)
{
    struct world w;
    (void)state;
    world_open_unix(&w, 0);
    assert_true(wakeups_after_shut_rd(&w, EVCONNLISTENER_POLICY_LIBEVENT) > SPINS);
    assert_int_equal(w.errors, 0);
    world_close(&w);
    world_open_unix(&w, 0);
    evconnlistener_set_trouble_cb(w.l, world_on_trouble, &w);
    uint64_t wakeups = wakeups_after_shut_rd(&w, EVCONNLISTENER_POLICY_BACKOFF);
    assert_true(wakeups >= 100 && wakeups <= 100 + CALM);
    assert_int_equal(w.errors, 0); /* it would take EAGAIN for the end of the world */
    assert_true(w.troubles >= 1);
    assert_int_equal(w.trouble.error, EAGAIN);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    assert_true(wakeups_in(&w, 1000) <= CALM); /* not a hundred again after each pause */
    world_close(&w);
}

static void ninety_nine_empty_wakeups_are_no_spin(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    world_connect(&w);
    fault_set(FAULT_ACCEPT4, EAGAIN, 1, 99);
    for (int i = 0; i < 99; i++)
        world_turn(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(w.troubles, 0);
    world_close(&w);
}

/* --- Shed ----------------------------------------------------------------------------------------------------------------- */

static void shed_sends_clients_away_and_keeps_its_spare(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), 0);
    for (int round = 1; round <= 2; round++) {
        world_connect_many(&w, 3);
        int limit = file_limit_hold();
        world_turn(&w);
        assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_SHED);
        assert_int_equal(world_counters(&w).shed, 3 * round);
        assert_false(world_is_waiting(&w));
        file_limit_end(limit);
    }
    for (int i = 0; i < w.client_count; i++)
        assert_true(world_is_closed(w.clients[i]));
    assert_int_equal(w.accepted_count, 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void shed_takes_64_a_round(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), 0);
    world_connect_many(&w, 70);
    int limit = file_limit_hold();
    world_turn(&w);
    assert_int_equal(world_counters(&w).shed, 64);
    world_turn(&w);
    assert_int_equal(world_counters(&w).shed, 70);
    file_limit_end(limit);
    world_close(&w);
}

static void shed_on_a_blocking_descriptor_takes_one(void **state)
{
    struct world w;
    (void)state;
    open_blocking(&w);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), 0);
    world_connect_many(&w, 2);
    int limit = file_limit_hold();
    for (unsigned turn = 1; turn <= 2; turn++) {
        world_turn(&w);
        assert_int_equal(world_counters(&w).shed, turn);
    }
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_SHED);
    file_limit_end(limit);
    world_close(&w);
}

static void expect_shed(struct world *w, unsigned clients)
{
    uint64_t before = world_counters(w).shed;
    world_connect_many(w, (int)clients);
    int limit = file_limit_hold();
    world_turn(w);
    file_limit_end(limit);
    assert_int_equal(w->trouble.action, EVCONNLISTENER_ACTION_SHED);
    assert_int_equal(world_counters(w).shed - before, clients);
}

static void shed_gets_its_spare_back_with_the_next_success(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), 0);
    fault_set(FAULT_EVENTFD, EMFILE, 1, 0);
    fail_once(&w, EMFILE);
    assert_int_equal(((struct event_listener *)w.l)->spare, -1); /* somebody else took its place */
    evconnlistener_retry_now(w.l);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    expect_shed(&w, 3);
    world_close(&w);
}

static void shed_as_default_without_a_spare_backs_off_until_there_is_one(void **state)
{
    struct world w;
    (void)state;
    assert_int_equal(evconnlistener_set_default_policy(EVCONNLISTENER_POLICY_SHED), 0);
    fault_set(FAULT_EVENTFD, EMFILE, 1, 0);
    open_told(&w, 0);
    assert_int_equal(evconnlistener_get_policy(w.l), EVCONNLISTENER_POLICY_SHED);
    fail_once(&w, EMFILE);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    evconnlistener_retry_now(w.l);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    expect_shed(&w, 2);
    world_close(&w);
}

static void shed_without_a_spare_backs_off_and_other_errors_too(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), 0);
    fault_set(FAULT_EVENTFD, EMFILE, 1, 0);
    fail_once(&w, EMFILE); /* the place of the spare does not help: somebody else took it */
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    evconnlistener_retry_now(w.l);
    fail_once(&w, ENOMEM);
    assert_int_equal(w.trouble.action, EVCONNLISTENER_ACTION_PAUSE);
    assert_int_equal(w.trouble.error, ENOMEM);
    world_close(&w);
}

static void shed_policy_needs_a_spare_to_begin_with(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    fault_set(FAULT_EVENTFD, EMFILE, 1, 0);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_SHED), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(evconnlistener_get_policy(w.l), EVCONNLISTENER_POLICY_BACKOFF);
    world_close(&w);
}

/* --- Policies and options by hand and by environment ------------------------------------------------------------------------ */

static void backoff_is_the_default_and_libevent_ends_a_pause(void **state)
{
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_get_policy(w.l), EVCONNLISTENER_POLICY_BACKOFF);
    fail_once(&w, EMFILE);
    assert_int_equal(evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_LIBEVENT), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(evconnlistener_set_policy(w.l, (enum evconnlistener_policy)7), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(evconnlistener_set_default_policy((enum evconnlistener_policy)7), -1);
    assert_int_equal(evconnlistener_set_option(w.l, LEV_OPT_REUSEABLE, 1), -1);
    assert_int_equal(errno, EINVAL);
    world_close(&w);
}

static void environment_sets_defaults(void **state)
{
    struct world w;
    (void)state;
    setenv("EVCONNLISTENER_POLICY", "shed", 1);
    setenv("EVCONNLISTENER_ADAPTIVE", "1", 1);
    setenv("EVCONNLISTENER_PAUSE_BACKLOG", "1", 1);
    setenv("EVCONNLISTENER_ACCEPT_CAP", "2", 1);
    world_open(&w, 0);
    struct event_listener *e = (struct event_listener *)w.l;
    assert_int_equal(evconnlistener_get_policy(w.l), EVCONNLISTENER_POLICY_SHED);
    assert_int_equal(w.l->flags & ~LEV_OPT_CLOSE_ON_FREE,
                     EVCONNLISTENER_OPT_ADAPTIVE | EVCONNLISTENER_OPT_PAUSE_BACKLOG);
    assert_int_equal(e->cap, 2);
    world_close(&w);
    setenv("EVCONNLISTENER_POLICY", "nonsense", 1); /* named in one warning, and left alone */
    setenv("EVCONNLISTENER_ADAPTIVE", "2", 1);
    unsetenv("EVCONNLISTENER_PAUSE_BACKLOG");
    setenv("EVCONNLISTENER_ACCEPT_CAP", "-1", 1);
    world_open(&w, 0);
    assert_int_equal(evconnlistener_get_policy(w.l), EVCONNLISTENER_POLICY_BACKOFF);
    assert_int_equal(w.l->flags, LEV_OPT_CLOSE_ON_FREE);
    assert_int_equal(((struct event_listener *)w.l)->cap, 0);
    world_close(&w);
}

static void each_wrong_variable_is_named_once(void **state)
{
    static const char adaptive[] = "EVCONNLISTENER_ADAPTIVE=2 ", cap[] = "EVCONNLISTENER_ACCEPT_CAP=-1 ";
    struct world w;
    char text[1024];
    int both[2], before = dup(STDERR_FILENO);
    (void)state;
    setenv("EVCONNLISTENER_ADAPTIVE", "2", 1);
    setenv("EVCONNLISTENER_ACCEPT_CAP", "-1", 1);
    assert_int_equal(pipe(both), 0);
    dup2(both[1], STDERR_FILENO);
    for (int i = 0; i < 2; i++) {
        world_open(&w, 0);
        world_close(&w);
    }
    dup2(before, STDERR_FILENO);
    close(before);
    close(both[1]);
    ssize_t size = read(both[0], text, sizeof text - 1);
    close(both[0]);
    assert_true(size > 0);
    text[size] = '\0';
    const char *first = strstr(text, adaptive), *second = strstr(text, cap);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(strstr(first + 1, adaptive));
    assert_null(strstr(second + 1, cap));
}

/* --- Reports, counters, observer, log ----------------------------------------------------------------------------------------- */

static char steps[4096];

static void keep_step(struct evconnlistener *l, const struct evconnlistener_event *event, void *arg)
{
    size_t at = strlen(steps);
    (void)l, (void)arg;
    snprintf(steps + at, sizeof steps - at, "%s%s/%d", at ? " " : "", evconnlistener_step_name(event->step),
             event->refcount);
    errno = 77; /* must not be seen by anybody */
}

/* The step's name, the line's call or errno, and the state. */
static void keep_birth(struct evconnlistener *l, const struct evconnlistener_event *event, void *arg)
{
    size_t at = strlen(steps);
    (void)arg;
    assert_non_null(event->file);
    assert_non_null(event->function);
    assert_true(event->line > 0);
    assert_true(strncmp(event->file, "listener/", 9) == 0);
    snprintf(steps + at, sizeof steps - at, "%s%s:%s", at ? " " : "", evconnlistener_step_name(event->step),
             event->call ? event->call : event->function);
    if (l)
        snprintf(steps + strlen(steps), sizeof steps - strlen(steps), "/%d%d%d", event->enabled, event->has_cb,
                 event->in_loop);
    if (event->step == EVCONNLISTENER_STEP_FAILED)
        assert_true(l == NULL && event->error != 0 && event->refcount == 0);
}

static void default_observer_is_told_how_a_listener_is_made(void **state)
{
    static const struct evconnlistener_observer observer = {keep_birth, NULL};
    const struct sockaddr_in any = {.sin_family = AF_INET};
    struct event_base *base = event_base_new();
    (void)state;
    evconnlistener_set_default_observer(&observer);
    struct evconnlistener *l =
        evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 3, (const void *)&any, sizeof any);
    assert_non_null(l);
    assert_string_equal(steps, "call:socket call:setsockopt call:setsockopt call:setsockopt call:setsockopt call:bind "
                               "call:fcntl/000 call:listen/000 enabled:evconnlistener_enable/100");
    steps[0] = '\0';
    evconnlistener_free(l);
    assert_string_equal(steps, "freed:evconnlistener_free/100 released:evconnlistener_free/100 call:close/100");
    steps[0] = '\0';
    assert_null(evconnlistener_new_bind(base, NULL, NULL, 0, 0, (const void *)&any, sizeof any));
    assert_string_equal(steps, "failed:evconnlistener_new_bind");
    steps[0] = '\0';
    errno = 0;
    assert_null(evconnlistener_new_bind(base, NULL, NULL, 0, 3, NULL, 0));
    assert_int_equal(errno, EAFNOSUPPORT);
    assert_string_equal(steps, "call:socket failed:evconnlistener_new_bind");
    evconnlistener_set_default_observer(NULL);
    steps[0] = '\0';
    l = evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 3, (const void *)&any, sizeof any);
    evconnlistener_free(l);
    assert_string_equal(steps, "");
    event_base_free(base);
}

static void observer_is_told_each_step(void **state)
{
    static const struct evconnlistener_observer observer = {keep_step, NULL};
    struct world w;
    (void)state;
    open_told(&w, 0);
    assert_int_equal(evconnlistener_set_observer(w.l, &observer), 0);
    world_connect(&w);
    world_turn(&w);
    assert_string_equal(
        steps, "referenced/2 readable/2 call/2 accepted/2 cb_enter/2 cb_leave/2 call/2 error/2 round_end/2 released/2");
    steps[0] = '\0';
    world_connect(&w);
    fail_once(&w, EMFILE);
    assert_int_equal(w.last_error, EMFILE);
    evconnlistener_disable(w.l);
    evconnlistener_free(w.l);
    w.l = NULL;
    assert_string_equal(steps,
                        "referenced/2 readable/2 call/2 error/2 paused/2 errorcb_enter/2 errorcb_leave/2 "
                        "errorcb_enter/2 errorcb_leave/2 round_end/2 released/2 disabled/1 freed/1 released/1 call/1");
    world_close(&w);
}

static void counters_are_copied_as_far_as_the_caller_knows_them(void **state)
{
    struct evconnlistener_counters c;
    struct world w;
    (void)state;
    world_open(&w, 0);
    world_connect_many(&w, 2);
    world_turn(&w);
    memset(&c, 0xff, sizeof c);
    assert_int_equal(evconnlistener_get_counters(w.l, &c, 2 * sizeof(uint64_t)), 0);
    assert_int_equal(c.wakeups, 1);
    assert_int_equal(c.accepted, 2);
    assert_true(c.drained == UINT64_MAX);
    world_close(&w);
}

static int lines;
static char line[256];

static void keep_line(int severity, const char *text)
{
    if (severity == EVENT_LOG_WARN)
        lines++;
    snprintf(line, sizeof line, "%s", text);
}

static void log_has_one_line_a_second_for_an_error(void **state)
{
    struct world w;
    (void)state;
    event_set_log_callback(keep_line);
    world_open(&w, 0);
    for (int i = 0; i < 5; i++) {
        fail_once(&w, EMFILE);
        evconnlistener_retry_now(w.l);
    }
    assert_int_equal(lines, 1);
    assert_string_equal(line, "Error from accept() call: Too many open files; again in 10 ms");
    fail_once(&w, ENFILE); /* another error has a line of its own */
    evconnlistener_retry_now(w.l);
    assert_int_equal(lines, 2);
    assert_int_equal(world_counters(&w).left_out, 4);
    for (size_t i = 0; i < LOG_ERRORS; i++) /* as if a second had passed */
        ((struct event_listener *)w.l)->log[i].at_ns -= 1000000001;
    fail_once(&w, EMFILE);
    assert_int_equal(lines, 3);
    assert_string_equal(line, "Error from accept() call: Too many open files; again in 640 ms; 4 more like this");
    world_close(&w);
}

static void pause_for_lost_clients_is_logged_only_if_nobody_could_be_told(void **state)
{
    struct world w;
    (void)state;
    event_set_log_callback(keep_line);
    world_open(&w, 0);
    fail_once(&w, ECONNABORTED);
    assert_int_equal(lines, 1);
    assert_int_equal(world_counters(&w).reported, 1);
    world_close(&w);
    world_open(&w, 0);
    evconnlistener_set_error_cb(w.l, world_on_error);
    fail_once(&w, ECONNABORTED);
    assert_int_equal(world_counters(&w).backoffs, 1);
    assert_int_equal(world_counters(&w).reported, 0);
    assert_int_equal(w.errors, 0);
    assert_int_equal(lines, 1);
    world_close(&w);
}

/* --- Batches ------------------------------------------------------------------------------------------------------------------- */

static void cap_ends_the_round_and_nobody_is_forgotten(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    assert_int_equal(evconnlistener_set_accept_cap(w.l, 2), 0);
    world_connect_many(&w, 5);
    for (int turn = 1; turn <= 3; turn++) {
        world_turn(&w);
        assert_int_equal(w.accepted_count, turn < 3 ? 2 * turn : 5);
    }
    world_close(&w);
}

static void adaptive_saves_the_last_accept_when_connections_come_one_by_one(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, EVCONNLISTENER_OPT_ADAPTIVE);
    fault_clear();
    for (int i = 0; i < 160; i++) {
        world_connect(&w);
        world_turn(&w);
        assert_int_equal(w.accepted_count, i + 1);
    }
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 170);
    world_close(&w);
}

static void adaptive_takes_groups_in_one_round(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, EVCONNLISTENER_OPT_ADAPTIVE);
    world_connect_many(&w, 40);
    for (int turn = 0; turn < 40 && w.accepted_count < 40; turn++)
        world_turn(&w);
    assert_int_equal(w.accepted_count, 40);
    uint64_t before = world_counters(&w).wakeups;
    world_connect_many(&w, 30);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 70);
    assert_int_equal(world_counters(&w).wakeups, before + 1);
    world_close(&w);
}

TEST_MAIN(TEST(errors_have_their_classes), TEST(each_class_has_its_action_at_each_position),
          TEST(pauses_double_to_a_second_and_start_again_after_a_success),
          TEST(paused_listener_is_out_of_the_loop_and_comes_back_by_itself), TEST(disable_cancels_the_pause),
          TEST(enable_does_not_cut_a_pause_short), TEST(retry_now_ends_a_pause_and_else_does_nothing),
          TEST(pause_without_a_timer_is_no_pause), TEST(coming_back_that_fails_is_tried_again),
          TEST(backlog_is_0_while_paused_if_asked), TEST(sixty_four_lost_clients_end_the_round),
          TEST(lost_client_on_a_blocking_descriptor_ends_the_round, .seconds = 10),
          TEST(cap_holds_for_lost_clients_too_and_they_do_not_spin), TEST(lost_clients_between_others_do_not_pause),
          TEST(fatal_error_is_told_and_disables), TEST(emfile_spins_with_libevent_and_not_with_backoff),
          TEST(tcp_shut_rd_spins_with_libevent_and_not_with_backoff),
          TEST(unix_shut_rd_spins_with_libevent_and_not_with_backoff), TEST(ninety_nine_empty_wakeups_are_no_spin),
          TEST(shed_sends_clients_away_and_keeps_its_spare), TEST(shed_takes_64_a_round),
          TEST(shed_on_a_blocking_descriptor_takes_one, .seconds = 10),
          TEST(shed_gets_its_spare_back_with_the_next_success),
          TEST(shed_as_default_without_a_spare_backs_off_until_there_is_one),
          TEST(shed_without_a_spare_backs_off_and_other_errors_too), TEST(shed_policy_needs_a_spare_to_begin_with),
          TEST(backoff_is_the_default_and_libevent_ends_a_pause), TEST(environment_sets_defaults),
          TEST(each_wrong_variable_is_named_once), TEST(observer_is_told_each_step),
          TEST(default_observer_is_told_how_a_listener_is_made),
          TEST(counters_are_copied_as_far_as_the_caller_knows_them), TEST(log_has_one_line_a_second_for_an_error),
          TEST(pause_for_lost_clients_is_logged_only_if_nobody_could_be_told),
          TEST(cap_ends_the_round_and_nobody_is_forgotten),
          TEST(adaptive_saves_the_last_accept_when_connections_come_one_by_one),
          TEST(adaptive_takes_groups_in_one_round))
