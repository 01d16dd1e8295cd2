/* The oracles of snag explore: figures in, verdicts out; each line is drawn where the design says. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "explore/case.h"
#include "explore/oracle.h"
#include "report/escape.h"

#define MS UINT64_C(1000000)

static struct fault_case item;
static struct measures now, control;
static struct ruling ruling;

/* A server that does right: served again at once after a second of EMFILE. */
static void begin(enum mode mode)
{
    item = (struct fault_case){.call = CALL_accept4, .fault = "EMFILE", .error = EMFILE, .mode = mode};
    now = (struct measures){.done = true,
                            .ready = true,
                            .armed = true,
                            .injected = 20,
                            .round_injected = {20},
                            .window_ns = 1000 * MS,
                            .newcomer_served = true,
                            .recovered = true,
                            .recovered_ms = 3,
                            .rounds = 1,
                            .worker_status = -1};
    control = now;
    control.injected = control.round_injected[0] = 0;
}

static enum verdict judge(void)
{
    oracle_judge(&item, &now, &control, &thresholds_default, &ruling);
    return ruling.headline;
}

static bool earned(enum verdict verdict)
{
    return ruling.set >> verdict & 1;
}

static void served_at_once(void **state)
{
    (void)state;
    begin(MODE_HELD);
    assert_int_equal(judge(), VERDICT_SERVED);
    assert_string_equal(ruling.evidence, "served again 3 ms after the fault; 20 faults injected in 1000 ms");
}

static void nothing_tested_is_no_pass(void **state)
{
    (void)state;
    begin(MODE_ONCE);
    now.injected = now.round_injected[0] = 0;
    assert_int_equal(judge(), VERDICT_UNTESTED);
    now.missed = 3;
    assert_int_equal(judge(), VERDICT_UNTESTED);
    assert_non_null(strstr(ruling.evidence, "3 faults found nothing to strike"));
    now.ended = true;
    now.end_status = SIGSEGV;
    assert_int_equal(judge(), VERDICT_UNTESTED); /* whatever it was, it was not the fault */
    begin(MODE_EXHAUST);
    assert_int_equal(judge(), VERDICT_UNTESTED); /* what is injected does not count there */
    now.real = 1;
    assert_int_equal(judge(), VERDICT_SERVED);
}

static void spun(void **state)
{
    (void)state;
    begin(MODE_HELD);
    now.round_injected[0] = 1000;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.round_injected[0] = 1001;
    assert_int_equal(judge(), VERDICT_SPUN);
    now.window_ns = 499 * MS;
    assert_int_equal(judge(), VERDICT_SERVED); /* a moment is no habit */
    begin(MODE_HELD);
    now.cpu_ns = 500 * MS;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.cpu_ns = 501 * MS;
    assert_int_equal(judge(), VERDICT_SPUN);
    control.cpu_ns = 100 * MS;
    assert_int_equal(judge(), VERDICT_SERVED); /* it burns that without a fault */
}

static void flooded(void **state)
{
    (void)state;
    begin(MODE_HELD);
    now.log_lines = 100;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.log_lines = 101;
    assert_int_equal(judge(), VERDICT_FLOODED);
    control.log_lines = 50;
    assert_int_equal(judge(), VERDICT_SERVED);
}

/* The lines that a client makes in control are those that it makes under a fault. */
static void flooded_by_its_clients(void **state)
{
    (void)state;
    begin(MODE_HELD);
    control.log_lines = 40;
    control.window_clients = 20;
    now.window_clients = 100;
    now.log_lines = 300;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.log_lines = 301;
    assert_int_equal(judge(), VERDICT_FLOODED);
    now.window_clients = 1; /* fewer clients than in control excuse nothing, and cost nothing */
    now.log_lines = 140;
    assert_int_equal(judge(), VERDICT_SERVED);
}

/* A server that fails half a million times can't leak as often: its limit is in the way. */
static void leaked_up_to_the_limit(void **state)
{
    (void)state;
    begin(MODE_HELD);
    now.rounds = 2;
    now.round_injected[0] = now.round_injected[1] = 900; /* no spinning */
    now.room[0] = 100;
    now.growth[0] = 50;
    now.room[1] = 50;
    now.growth[1] = 25;
    assert_int_equal(judge(), VERDICT_LEAKED);
    now.growth[0] = 49;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.growth[0] = 100;
    now.room[1] = 1;
    now.growth[1] = 0;
    assert_int_equal(judge(), VERDICT_LEAKED); /* the second round found nothing left to leak */
    now.room[1] = 10;
    assert_int_equal(judge(), VERDICT_SERVED);
}

static void what_was_not_looked_at_is_said(void **state)
{
    (void)state;
    begin(MODE_HELD);
    strcpy(now.note, "of 600 processes 512 were looked at");
    assert_int_equal(judge(), VERDICT_SERVED);
    assert_non_null(strstr(ruling.evidence, "; of 600 processes 512 were looked at"));
}

static void leaked(void **state)
{
    (void)state;
    begin(MODE_BURST);
    now.rounds = 2;
    now.growth[0] = now.growth[1] = 10;
    now.round_injected[1] = 20;
    assert_int_equal(judge(), VERDICT_LEAKED);
    now.growth[1] = 9;
    assert_int_equal(judge(), VERDICT_SERVED); /* not twice */
    now.growth[1] = 10;
    now.round_injected[1] = 21;
    assert_int_equal(judge(), VERDICT_SERVED); /* less than half of the faults */
}

static void slow_and_deaf(void **state)
{
    (void)state;
    begin(MODE_ONCE);
    now.recovered_ms = 1000;
    assert_int_equal(judge(), VERDICT_SERVED);
    now.recovered_ms = 1004;
    assert_int_equal(judge(), VERDICT_SLOW);
    control.recovered_ms = 10;
    assert_int_equal(judge(), VERDICT_SERVED); /* its clients take as long without a fault */
    begin(MODE_ONCE);
    now.left_waiting = 1;
    assert_int_equal(judge(), VERDICT_SLOW);
    now.newcomer_served = false;
    now.patience_ms = 10000;
    assert_int_equal(judge(), VERDICT_DEAF);
    assert_non_null(strstr(ruling.evidence, "nobody who came in the 10000 ms after"));
}

static void clients_that_are_lost(void **state)
{
    (void)state;
    begin(MODE_HELD);
    now.clients = 5;
    now.closed_under_pressure = 4;
    assert_int_equal(judge(), VERDICT_SHED);
    now.closed_without = 1;
    assert_int_equal(judge(), VERDICT_DROPPED);
    assert_true(earned(VERDICT_SHED));
}

static void ends(void **state)
{
    (void)state;
    begin(MODE_ONCE);
    now.ended = true;
    now.newcomer_served = false;
    now.end_status = 3 << 8;
    assert_int_equal(judge(), VERDICT_EXITED);
    assert_false(earned(VERDICT_DEAF)); /* who is gone is not deaf */
    now.end_status = SIGSEGV;
    assert_int_equal(judge(), VERDICT_CRASHED);
    begin(MODE_ONCE);
    now.stopped_badly = SIGABRT;
    assert_int_equal(judge(), VERDICT_CRASHED);
    control.stopped_badly = SIGABRT;
    assert_int_equal(judge(), VERDICT_SERVED);
    begin(MODE_ONCE);
    now.stop_ignored = true;
    assert_int_equal(judge(), VERDICT_UNSTOPPABLE);
    control.stop_ignored = true;
    assert_int_equal(judge(), VERDICT_SERVED);
    begin(MODE_ONCE);
    strcpy(now.sanitizer, "==1==ERROR: AddressSanitizer: heap-use-after-free");
    assert_int_equal(judge(), VERDICT_CRASHED);
}

static void starts_that_fail(void **state)
{
    (void)state;
    begin(MODE_NTH);
    item.nth = 1;
    now.ready = now.newcomer_served = false;
    now.ended = now.ended_before_ready = true;
    now.end_status = 1 << 8;
    strcpy(now.words, "bind: Address already in use");
    assert_int_equal(judge(), VERDICT_DECLINED);
    now.end_status = 0;
    assert_int_equal(judge(), VERDICT_EXITED); /* with success, though it failed */
    now.end_status = 1 << 8;
    now.words[0] = '\0';
    assert_int_equal(judge(), VERDICT_EXITED); /* without a word */
    now.ended = now.ended_before_ready = false;
    now.never_ready = true;
    assert_int_equal(judge(), VERDICT_DEAF);
}

static void workers(void **state)
{
    (void)state;
    begin(MODE_ONCE);
    now.workers_ended = 1;
    now.workers_new = 1;
    assert_int_equal(judge(), VERDICT_RESPAWNED);
    now.worker_status = SIGSEGV;
    assert_int_equal(judge(), VERDICT_CRASHED);
    now.worker_status = SIGTERM; /* its parent ended it */
    assert_int_equal(judge(), VERDICT_RESPAWNED);
    now.workers_new = 0;
    assert_int_equal(judge(), VERDICT_EXITED);
    control.workers_ended = 1;
    assert_int_equal(judge(), VERDICT_SERVED);
    begin(MODE_NTH);
    now.workers_ended = now.starters_met = now.starters_ended = 1;
    assert_int_equal(judge(), VERDICT_EXITED);
    control.starters_ended = 1; /* a helper of the start, which ends without a fault too */
    assert_int_equal(judge(), VERDICT_SERVED);
    now.workers_ended = 2; /* and a worker that came later */
    assert_int_equal(judge(), VERDICT_EXITED);
}

static void control_that_is_no_use(void **state)
{
    char why[ORACLE_TEXT_MAX];
    (void)state;
    begin(MODE_CONTROL);
    assert_true(oracle_control(&control, why));
    control.newcomer_served = false;
    assert_false(oracle_control(&control, why));
    begin(MODE_CONTROL);
    control.ended = true;
    assert_false(oracle_control(&control, why));
    assert_non_null(strstr(why, "with exit status 0 without a fault"));
}

static void ids_and_rules(void **state)
{
    (void)state;
    item = (struct fault_case){
        .call = CALL_accept4, .fault = "EMFILE", .error = EMFILE, .mode = MODE_HELD, .site_name = "ngx event/accept"};
    case_complete(&item, true, "ipv6");
    assert_string_equal(item.id, "accept4-emfile-held@ngx_event_accept+ipv6");
    assert_string_equal(item.rule, "accept4:error=EMFILE:pending");
    item = (struct fault_case){.call = CALL_accept, .fault = "socklen=0", .mode = MODE_BURST, .filter = "port=80"};
    case_complete(&item, false, "");
    assert_string_equal(item.id, "accept-socklen0-burst");
    assert_string_equal(item.rule, "accept:socklen=0:times=50:port=80");
    item = (struct fault_case){.call = CALL_bind, .fault = "EACCES", .error = EACCES, .mode = MODE_NTH, .nth = 3};
    case_complete(&item, true, "");
    assert_string_equal(item.id, "bind-eacces-nth3");
    assert_string_equal(item.rule, "bind:error=EACCES:when=3");
}

static void expect_escaped(const char *text, size_t length, const char *wanted)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    assert_non_null(file);
    escape_xml_bytes(text, length, file);
    fclose(file);
    assert_string_equal(out, wanted);
    free(out);
}

static void escaping(void **state)
{
    (void)state;
    expect_escaped("<a b='c' d=\"&\">", 15, "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;");
    expect_escaped("a\0b\033\x7f\n\t", 7,
                   "a\xef\xbf\xbd"
                   "b\xef\xbf\xbd\xef\xbf\xbd\n\t");
    expect_escaped("\xc3\xa9\xe2\x82", 4, "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
    expect_escaped("\xc0\x80\xed\xa0\x80", 5, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_MAIN(TEST(served_at_once), TEST(nothing_tested_is_no_pass), TEST(spun), TEST(flooded),
          TEST(flooded_by_its_clients), TEST(leaked), TEST(leaked_up_to_the_limit),
          TEST(what_was_not_looked_at_is_said), TEST(slow_and_deaf), TEST(clients_that_are_lost), TEST(ends),
          TEST(starts_that_fail), TEST(workers), TEST(control_that_is_no_use), TEST(ids_and_rules), TEST(escaping))
