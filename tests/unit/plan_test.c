/* The plan language: what is accepted and what it compiles to, what is refused and where the caret stands. */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/board.h"
#include "engine/decide.h"
#include "plan/diag.h"
#include "plan/duration.h"
#include "plan/names.h"
#include "plan/plan.h"

enum { TEXT_MAX = 16384 };

/* --- What a compiled rule is, as a line of text: the fields that differ from those of a rule that says nothing --- */

static void dump_calls(const struct rule *rule, FILE *out)
{
    const char *comma = "";
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (rule_names(rule, call)) {
            fprintf(out, "%s%s", comma, call_info(call)->name);
            comma = ",";
        }
    }
}

static void dump_actions(const struct rule *rule, FILE *out)
{
    if (rule->actions & ACT_FAIL)
        fprintf(out, " fail=%d", rule->error);
    if (rule->actions & ACT_RETURN)
        fprintf(out, " return=%d", rule->retval);
    if (rule->actions & ACT_SOCKLEN)
        fprintf(out, " socklen=%u", rule->socklen);
    if (rule->actions & ACT_FAMILY)
        fprintf(out, " family=%u", rule->family);
    if (rule->actions & ACT_FDMIN)
        fprintf(out, " fdmin=%d", rule->fdmin);
    if (rule->actions & ACT_BACKLOG)
        fprintf(out, " backlog=%d", rule->backlog);
    if (rule->actions & ACT_DELAY_ENTER)
        fprintf(out, " enter=%" PRIu64, rule->delay_enter_ns);
    if (rule->actions & ACT_DELAY_EXIT)
        fprintf(out, " exit=%" PRIu64, rule->delay_exit_ns);
    if (rule->actions & ACT_SIGNAL)
        fprintf(out, " signal=%d", rule->signal);
    if (rule->queue)
        fprintf(out, " queue=%u", rule->queue);
    if (rule->sticky)
        fprintf(out, " sticky");
}

static void dump_triggers(const struct rule *rule, FILE *out)
{
    if (rule->first != 1 || rule->last != UINT32_MAX || rule->step != 1)
        fprintf(out, " when=%u-%u/%u", rule->first, rule->last, rule->step);
    if (rule->probability != UINT64_MAX)
        fprintf(out, " prob=%" PRIx64, rule->probability);
    if (rule->times != UINT64_MAX)
        fprintf(out, " times=%" PRIu64, rule->times);
    if (rule->scope != PER_TREE)
        fprintf(out, " scope=%u", rule->scope);
    if (rule->filters & IF_WINDOW)
        fprintf(out, " window=%s%" PRIu64, rule->after_start ? "start+" : "", rule->after_ns);
    if ((rule->filters & IF_WINDOW) && rule->for_ns != UINT64_MAX)
        fprintf(out, "..%" PRIu64, rule->for_ns);
}

static void dump_filters(const struct rule_set *set, const struct rule *rule, FILE *out)
{
    if (rule->filters & IF_FD)
        fprintf(out, " fd=%d", rule->fd);
    if (rule->filters & IF_PORT)
        fprintf(out, " port=%u", rule->port);
    if (rule->filters & IF_TYPE)
        fprintf(out, " type=%u", rule->type);
    if (rule->filters & IF_LOCAL) {
        fprintf(out, " local=%u/", rule->local.family);
        for (size_t i = 0; i < (rule->local.family == AF_INET ? 4 : 16); i++)
            fprintf(out, "%02x", rule->local.bytes[i]);
        fprintf(out, "/%u", rule->local.port);
    }
    if (rule->filters & IF_PATH)
        fprintf(out, " path=<%s>", set->strings + rule->path);
    if (rule->filters & IF_PENDING)
        fprintf(out, " pending");
    if (rule->filters & IF_COMM)
        fprintf(out, " comm=<%s>", set->strings + rule->comm);
    if (rule->filters & IF_THREAD)
        fprintf(out, " thread=<%s>", set->strings + rule->thread);
    if (rule->filters & IF_CALLER)
        fprintf(out, " caller=<%s>", set->strings + set->patterns[rule->caller_pattern].text);
    if (rule->filters & IF_STACK)
        fprintf(out, " stack=<%s>", set->strings + set->patterns[rule->stack_pattern].text);
    if (rule->filters & IF_SITE)
        fprintf(out, " site=%016" PRIx64, rule->site);
    if (rule->label)
        fprintf(out, " name=<%s>", set->strings + rule->label);
}

static void dump(const struct rule_set *set, uint32_t i, char *text)
{
    FILE *out = fmemopen(text, TEXT_MAX, "w");
    assert_non_null(out);
    dump_calls(&set->rules[i], out);
    dump_actions(&set->rules[i], out);
    dump_triggers(&set->rules[i], out);
    dump_filters(set, &set->rules[i], out);
    fclose(out);
}

/* Adds EXPRESSION to PLAN.  What was said is in TEXT (TEXT_MAX bytes). */
static int add(struct plan *plan, const char *expression, char *text)
{
    char *said = NULL;
    size_t size;
    FILE *errors = open_memstream(&said, &size);
    assert_non_null(errors);
    errno = 0;
    int added = plan_add(plan, expression, errors);
    int error = errno;
    fclose(errors);
    assert_true(size < TEXT_MAX);
    memcpy(text, said, size + 1);
    free(said);
    assert_int_equal(added == 0, size == 0);
    if (added < 0)
        assert_int_equal(error, EINVAL);
    return added;
}

static int add_file(struct plan *plan, const char *path, char *text)
{
    FILE *errors = fmemopen(text, TEXT_MAX, "w");
    assert_non_null(errors);
    int added = plan_add_file(plan, path, errors);
    fclose(errors);
    return added;
}

static struct plan *fresh(void)
{
    struct plan *plan = plan_new();
    assert_non_null(plan);
    return plan;
}

static struct rule_set *compile(const struct plan *plan, bool strace_counts)
{
    struct rule_set *set = malloc(sizeof *set);
    assert_non_null(set);
    memset(set, 0xa5, sizeof *set); /* what plan_compile() leaves out is seen */
    assert_int_equal(plan_compile(plan, strace_counts, set), 0);
    return set;
}

#define IN6 "20010db8000000000000000000000001"

static const struct {
    const char *input, *compiled;
} accepted[] = {
    /* the design's examples */
    {"accept4:error=EMFILE:when=1..50", "accept4 fail=24 when=1-50/1"},
    {"accept,accept4:socklen=0:when=3+4", "accept,accept4 socklen=0 when=3-4294967295/4"},
    {"listen:error=EADDRINUSE", "listen fail=98"},
    {"%accept:error=ENFILE:prob=0.05:times=10", "accept,accept4 fail=23 prob=ccccccccccccd00 times=10"},
    /* calls */
    {"%setup:error=ENOBUFS", "socket,setsockopt,listen fail=105"},
    {"acc*:retval=3", "accept,accept4 return=3"},
    {"accept?:retval=3", "accept4 return=3"},
    {"epoll_[cw]*:retval=0", "epoll_create,epoll_create1,epoll_ctl,epoll_wait return=0"},
    {"bind,%accept:error=EACCES", "bind,accept,accept4 fail=13"},
    {"accept4,accept4:retval=1", "accept4 return=1"},
    {"%all:error=EADDRINUSE", "setsockopt,bind,listen fail=98"},
    {"*:socklen=0", "accept,accept4 socklen=0"},
    {"*:error=EINTR:port=80", "accept,accept4,ioctl,close fail=4 port=80"},
    /* strace's words, and its manual's forms on our calls */
    {"inject=accept4:error=EMFILE", "accept4 fail=24"},
    {"fault=accept4", "accept4 fail=38"},
    {"fault=bind,close:when=3+", "bind,close fail=38 when=3-4294967295/1"},
    {"fault=bind:error=EACCES", "bind fail=13"},
    {"inject=accept4:retval=0:signal=SIGSEGV", "accept4 return=0 signal=11"},
    {"inject=bind:delay_enter=100000:delay_exit=50000", "bind enter=100000000 exit=50000000"},
    {"inject=bind:error=eaddrinuse", "bind fail=98"},
    {"inject=accept4:signal=usr1", "accept4 signal=10"},
    /* actions */
    {"accept4:error=24", "accept4 fail=24"},
    {"accept4:error=EWOULDBLOCK", "accept4 fail=11"},
    {"accept4:error=ENOENT:force", "accept4 fail=2"},
    {"accept4:force:error=4095", "accept4 fail=4095"},
    {"%all:error=ELOOP:force:fd=3", "setsockopt,getsockopt,bind,listen,accept,accept4,getsockname,getpeername,shutdown,"
                                    "fcntl,ioctl,close,dup,dup2,dup3,"
                                    "epoll_ctl,epoll_wait,epoll_pwait,epoll_pwait2 fail=40 fd=3"},
    {"socket:retval=2147483647", "socket return=2147483647"},
    {"socket:retval=0x10", "socket return=16"},
    {"accept4:family=inet6:socklen=28:fdmin=1024", "accept4 socklen=28 family=10 fdmin=1024"},
    {"accept:family=AF_UNIX", "accept family=1"},
    {"accept:family=local", "accept family=1"},
    {"accept:family=unspec", "accept family=0"},
    {"accept:family=netlink", "accept family=16"},
    {"accept:family=packet", "accept family=17"},
    {"accept:family=vsock", "accept family=40"},
    {"accept:family=65535", "accept family=65535"},
    {"listen:backlog=-1", "listen backlog=-1"},
    {"listen:backlog=-2147483648", "listen backlog=-2147483648"},
    {"listen:backlog=2147483647", "listen backlog=2147483647"},
    {"listen:backlog=1:delay_exit=1.5ms", "listen backlog=1 exit=1500000"},
    {"poll:delay_enter=10ms:delay_exit=1s:signal=SIGRTMIN+2", "poll enter=10000000 exit=1000000000 signal=36"},
    {"poll:error=EINTR:delay_enter=1us", "poll fail=4 enter=1000"},
    {"poll:signal=64", "poll signal=64"},
    {"poll:signal=RTMAX-1", "poll signal=63"},
    {"accept4:error=ECONNABORTED:queue=keep", "accept4 fail=103 queue=1"},
    {"accept4:error=EMFILE:queue=drop:sticky", "accept4 fail=24 queue=2 sticky"},
    {"socket:error=ENFILE:sticky", "socket fail=23 sticky"},
    /* when */
    {"bind:retval=0:when=7", "bind return=0 when=7-7/0"},
    {"bind:retval=0:when=7+", "bind return=0 when=7-4294967295/1"},
    {"bind:retval=0:when=7..9", "bind return=0 when=7-9/1"},
    {"bind:retval=0:when=7..9+", "bind return=0 when=7-9/1"},
    {"bind:retval=0:when=7..90+3", "bind return=0 when=7-90/3"},
    {"bind:retval=0:when=7..7", "bind return=0 when=7-7/1"},
    {"bind:retval=0:when=4294967295", "bind return=0 when=4294967295-4294967295/0"},
    {"bind:retval=0:when=1..4294967295+4294967295", "bind return=0 when=1-4294967295/4294967295"},
    /* the other triggers */
    {"bind:retval=0:prob=0", "bind return=0 prob=0"},
    {"bind:retval=0:prob=1", "bind return=0"},
    {"bind:retval=0:prob=1.0", "bind return=0"},
    {"bind:retval=0:prob=.5", "bind return=0 prob=8000000000000000"},
    {"bind:retval=0:prob=25e-2", "bind return=0 prob=4000000000000000"},
    {"bind:retval=0:prob=1e-300", "bind return=0 prob=1"},
    {"bind:retval=0:times=1", "bind return=0 times=1"},
    {"bind:retval=0:per=tree", "bind return=0"},
    {"bind:retval=0:per=process", "bind return=0 scope=1"},
    {"bind:retval=0:per=thread", "bind return=0 scope=2"},
    {"bind:retval=0:per=fd", "bind return=0 scope=3"},
    {"bind:retval=0:after=2s", "bind return=0 window=2000000000"},
    {"bind:retval=0:after=start+2s:for=1ms", "bind return=0 window=start+2000000000..1000000"},
    {"bind:retval=0:for=1ns", "bind return=0 window=0..1"},
    {"accept:error=EINTR:pending", "accept fail=4 pending"},
    {"accept:error=EINTR:fd=0:port=65535:type=inet6", "accept fail=4 fd=0 port=65535 type=10"},
    {"socket:error=EAFNOSUPPORT:type=inet6", "socket fail=97 type=10"},
    {"accept:error=EINTR:local=127.0.0.1", "accept fail=4 local=2/7f000001/0"},
    {"accept:error=EINTR:local=127.0.0.1\\:80:port=80", "accept fail=4 port=80 local=2/7f000001/80"},
    {"accept:error=EINTR:local=\"127.0.0.1:80\"", "accept fail=4 local=2/7f000001/80"},
    {"accept:error=EINTR:local=\"2001:db8::1\"", "accept fail=4 local=10/" IN6 "/0"},
    {"accept:error=EINTR:local=2001\\:db8\\:\\:1:type=inet6", "accept fail=4 type=10 local=10/" IN6 "/0"},
    {"accept:error=EINTR:local=\"[2001:db8::1]\"", "accept fail=4 local=10/" IN6 "/0"},
    {"accept:error=EINTR:local=[2001\\:db8\\:\\:1]\\:443", "accept fail=4 local=10/" IN6 "/443"},
    {"accept:error=EINTR:path=/run/*.sock:type=unix", "accept fail=4 type=1 path=</run/*.sock>"},
    {"accept:error=EINTR:path=\"/a:b\\\"c\"", "accept fail=4 path=</a:b\"c>"},
    {"accept:error=EINTR:path=@x\\:y\\*", "accept fail=4 path=<@x:y\\*>"},
    {"accept:error=EINTR:path=\"\"", "accept fail=4 path=<>"},
    {"accept:error=EINTR:comm=worker*:thread=\"pool 1\"", "accept fail=4 comm=<worker*> thread=<pool 1>"},
    {"accept:error=EINTR:caller=ngx_*:stack=main@ngin?", "accept fail=4 caller=<ngx_*> stack=<main@ngin?>"},
    {"accept:error=EINTR:caller=std\\:\\:net\\:\\:accept", "accept fail=4 caller=<std::net::accept>"},
    {"accept:error=EINTR:caller=\"<T as Fn(&x)>::call\"", "accept fail=4 caller=<<T as Fn(&x)>::call>"},
    {"accept:error=EINTR:stack=operator\\*@a.so", "accept fail=4 stack=<operator\\*@a.so>"},
    {"accept:error=EINTR:stack=0x3b1f0@nginx", "accept fail=4 stack=<0x3b1f0@nginx>"},
    {"accept:error=EINTR:stack=0xffffffffffff@n", "accept fail=4 stack=<0xffffffffffff@n>"},
    {"accept:error=EINTR:site=9f3aC1d200000001:per=site", "accept fail=4 scope=4 site=9f3ac1d200000001"},
    {"accept:error=EINTR:comm=abcdefghijklmno*", "accept fail=4 comm=<abcdefghijklmno*>"},
    {"accept:error=EINTR:comm=[abc]bcdefghijklmno", "accept fail=4 comm=<[abc]bcdefghijklmno>"},
    {"accept:error=EINTR:name=\"a: b\\\\\"", "accept fail=4 name=<a: b\\>"},
    {" \taccept:error=EINTR ", "accept fail=4"},
};

static void accepted_plans_compile_to_what_they_say(void **state)
{
    (void)state;
    char said[TEXT_MAX], compiled[TEXT_MAX];
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct plan *plan = fresh();
        if (add(plan, accepted[i].input, said) < 0)
            fail_msg("refused: %s", said);
        struct rule_set *set = compile(plan, false);
        assert_int_equal(set->count, 1);
        assert_int_equal(set->tallies, 1);
        dump(set, 0, compiled);
        if (strcmp(compiled, accepted[i].compiled) != 0)
            fail_msg("%s\n  is     %s\n  not    %s", accepted[i].input, compiled, accepted[i].compiled);
        free(set);
        plan_free(plan);
    }
}

/* The text that a rule keeps is a rule again, and the same one. */
static void rules_text_compiles_to_the_same_rule(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct plan *one = fresh(), *other = fresh();
        assert_int_equal(add(one, accepted[i].input, said), 0);
        assert_int_equal(add(other, plan_rule_text(one, 0), said), 0);
        struct rule_set *first = compile(one, false), *second = compile(other, false);
        assert_memory_equal(first, second, sizeof *first);
        assert_string_equal(first->strings + first->rules[0].text, plan_rule_text(one, 0));
        free(first);
        free(second);
        plan_free(one);
        plan_free(other);
    }
}

/* Column and width of the caret in the user's text, from 0; the message's first line. */
static const struct {
    const char *input;
    size_t column, width;
    const char *message;
} rejected[] = {
    /* calls */
    {"", 0, 1, "the rule is empty; expected CALLS:ACTION, as in accept4:error=EMFILE"},
    {"inject=", 7, 1, "the rule is empty; expected CALLS:ACTION, as in accept4:error=EMFILE"},
    {":error=EMFILE", 0, 1, "the calls are missing; a rule starts with them, as in accept4:error=EMFILE"},
    {"accept5:error=EMFILE", 0, 7, "unknown call 'accept5'; did you mean accept4?"},
    {"acept:error=EMFILE", 0, 5, "unknown call 'acept'; did you mean accept?"},
    {"bind,lisen:error=EACCES", 5, 5, "unknown call 'lisen'; did you mean listen?"},
    {"connect:error=EINTR", 0, 7, "unknown call 'connect'; `snag faults` lists the calls"},
    {"all:error=EINTR", 0, 3, "unknown call 'all'; did you mean %all?"},
    {"accept,,bind:error=EACCES", 7, 1, "the name of a call is missing here"},
    {"accept,:error=EACCES", 7, 1, "the name of a call is missing here"},
    {"%acept:error=EINTR", 0, 6, "unknown class '%acept'; did you mean %accept?"},
    {"%network:error=EINTR", 0, 8, "unknown class '%network'; the classes are %accept, %setup and %all"},
    {"zz*:error=EINTR", 0, 3, "no call matches 'zz*'; `snag faults` lists the calls"},
    {"trace=accept,read", 13, 4, "unknown call 'read'; `snag faults` lists the calls"},
    {"trace=", 6, 1, "the name of a call is missing here"},
    {"injct=accept:error=EINTR", 0, 5, "'injct=' can't start a rule; did you mean inject?"},
    {"error=EINTR", 0, 5,
     "'error=' can't start a rule; expected the calls, as in accept4:error=EMFILE, or inject=, fault=, trace="},
    {"inject=inject=accept:error=EINTR", 7, 6, "'inject=' comes after another such word; one can start a rule"},
    {"inject=trace=accept", 7, 5, "'trace=' comes after another such word; one can start a rule"},
    {"fault=injct=accept", 6, 5, "'injct=' can't start a rule; did you mean inject?"},
    /* what strace has and snag has not */
    {"!accept:error=EINTR", 0, 7, "strace's !CALLS is not part of snag; name the calls that are meant, or use a glob"},
    {"trace=!accept", 6, 7, "strace's !CALLS is not part of snag; name the calls that are meant, or use a glob"},
    {"inject=/^acc:error=EINTR", 7, 5, "strace's /REGEX is not part of snag; use a glob, as in accept*"},
    {"accept:error=EINTR:syscall=getpid", 19, 7,
     "strace's syscall= is not part of snag: snag makes no other call in the "
     "place of one; retval= returns a value without calling"},
    {"accept:poke_enter=@arg1=00", 7, 10,
     "strace's poke_enter= is not part of snag: snag writes no arguments; socklen=, "
     "family= and backlog= change what these calls are given or report"},
    {"accept:poke_exit=@arg1=00", 7, 9,
     "strace's poke_exit= is not part of snag: snag writes no memory of the target; "
     "socklen= and family= change the address that accept reports"},
    /* the shape */
    {"accept4", 7, 1, "the rule does nothing (trace=CALLS watches); it needs one of these actions:"},
    {"accept4:when=3", 14, 1, "the rule does nothing (trace=CALLS watches); it needs one of these actions:"},
    {"accept4:", 8, 1, "an action or a trigger is missing here"},
    {"accept4::error=EINTR", 8, 1, "an action or a trigger is missing here"},
    {"accept4:=EINTR", 8, 1, "an action or a trigger is missing here"},
    {"accept4:eror=EINTR", 8, 4, "unknown key 'eror'; did you mean error?"},
    {"accept4:delay=1ms", 8, 5, "unknown key 'delay'; did you mean delay_enter?"},
    {"accept4:frobnicate=1", 8, 10, "unknown key 'frobnicate'; expected one of"},
    {"accept4:error=EINTR:error=EINTR", 20, 5, "'error' is given twice"},
    {"accept4:error=EINTR:when=1:when=2", 27, 4, "'when' is given twice"},
    {"accept4:error=EINTR:pending:pending", 28, 7, "'pending' is given twice"},
    {"accept4:error", 13, 1, "error= needs a value: an errno, as in EMFILE or 24"},
    {"accept4:error=", 14, 1, "error= needs a value: an errno, as in EMFILE or 24"},
    {"accept4:error=EINTR:pending=1", 28, 1, "'pending' takes no value"},
    {"accept4:error=EINTR:name=\"a", 25, 1, "this quote is not closed"},
    {"accept4:error=EINTR:name=\"a\"b", 28, 1, "expected ':' or the end after the closing quote"},
    {"accept4:error=EINTR:name=a\"b\"", 26, 1, "a quote inside a value; quote the whole value, or write \\\""},
    /* errnos */
    {"accept4:error=EMFLE", 14, 5, "unknown errno 'EMFLE'; did you mean EMFILE?"},
    {"accept4:error=WHAT", 14, 4, "unknown errno 'WHAT'; expected a name such as EMFILE, or a number from 1 to 4095"},
    {"accept4:error=0", 14, 1, "out of range; an errno is from 1 to 4095"},
    {"accept4:error=4096", 14, 4, "out of range; an errno is from 1 to 4095"},
    {"accept4:error=-1", 14, 2, "unknown errno '-1'; expected a name such as EMFILE, or a number from 1 to 4095"},
    {"accept4:error=24x", 14, 3, "'24x' is not a number; an errno is from 1 to 4095"},
    {"accept4:error=ENOENT", 14, 6,
     "accept4 can't fail with ENOENT on Linux (`force` does it all the same); it can with"},
    {"accept4:error=2", 14, 1, "accept4 can't fail with ENOENT on Linux (`force` does it all the same); it can with"},
    {"accept4:error=4000", 14, 4, "accept4 can't fail with 4000 on Linux (`force` does it all the same); it can with"},
    {"accept,accept4:error=ENOSYS", 21, 6,
     "accept can't fail with ENOSYS on Linux (`force` does it all the same); it can with"},
    {"bind,%accept:error=EMFILE", 19, 6,
     "bind can't fail with EMFILE on Linux (`force` does it all the same); it can with"},
    {"%accept:error=EADDRINUSE", 14, 10, "none of these calls can fail with EADDRINUSE on Linux; these can:"},
    {"%all:error=EXDEV", 11, 5, "none of these calls can fail with EXDEV on Linux"},
    /* values */
    {"accept4:retval=-1", 15, 2, "'-1' is not a number; a value to return is from 0 to 2147483647"},
    {"accept4:retval=2147483648", 15, 10, "out of range; a value to return is from 0 to 2147483647"},
    {"accept4:retval=18446744073709551616", 15, 20, "out of range; a value to return is from 0 to 2147483647"},
    {"accept4:retval=0x10000000000000001", 15, 19, "out of range; a value to return is from 0 to 2147483647"},
    {"accept4:socklen=4294967296", 16, 10, "out of range; a length is from 0 to 4294967295"},
    {"accept4:family=inet7", 15, 5, "unknown address family 'inet7'; did you mean inet6?"},
    {"accept4:family=65536", 15, 5, "out of range; an address family is from 0 to 65535"},
    {"accept4:fdmin=0", 14, 1, "out of range; the lowest descriptor is from 1 to 2147483647"},
    {"listen:backlog=2147483648", 15, 10, "not a backlog; expected a number from -2147483648 to 2147483647"},
    {"listen:backlog=-", 15, 1, "not a backlog; expected a number from -2147483648 to 2147483647"},
    {"accept4:delay_enter=10min", 22, 3, "unknown unit of time; expected s, ms, us or ns"},
    {"accept4:delay_exit=fast", 19, 4, "not a time; expected a number and a unit, as in 10ms or 1.5s"},
    {"accept4:delay_exit=99999999999s", 19, 12, "the time is too long (292 years is the limit)"},
    {"accept4:signal=SIGUSR3", 15, 7, "unknown signal 'SIGUSR3'; did you mean SIGUSR1?"},
    {"accept4:signal=65", 15, 2, "out of range; a signal is from 1 to 64"},
    {"accept4:signal=SIGRTMIN+31", 15, 11, "unknown signal 'SIGRTMIN+31'; did you mean SIGRTMIN?"},
    {"accept4:error=EINTR:queue=dorp", 26, 4, "unknown effect on the queue 'dorp'; did you mean drop?"},
    {"accept4:error=EINTR:queue=kept", 26, 4, "unknown effect on the queue 'kept'; expected keep or drop"},
    {"accept4:error=EINTR:when=0", 25, 1, "calls are counted from 1"},
    {"accept4:error=EINTR:when=5..2", 28, 1, "the range ends before it begins, at 5"},
    {"accept4:error=EINTR:when=99999999999", 25, 11, "too large; when= goes up to 4294967295"},
    {"accept4:error=EINTR:when=1..4294967296", 28, 10, "too large; when= goes up to 4294967295"},
    {"accept4:error=EINTR:when=1+0", 27, 1, "a step is 1 or more"},
    {"accept4:error=EINTR:when=+3", 25, 2, "expected FIRST, FIRST..LAST, FIRST+, FIRST+STEP or FIRST..LAST+STEP"},
    {"accept4:error=EINTR:when=3..", 28, 1, "expected FIRST, FIRST..LAST, FIRST+, FIRST+STEP or FIRST..LAST+STEP"},
    {"accept4:error=EINTR:when=3-5", 26, 2, "expected '+', '..' or the end of when= here"},
    {"accept4:error=EINTR:when=3+4+", 28, 1, "expected the end of when= here"},
    {"accept4:error=EINTR:prob=2", 25, 1, "out of range; a probability is from 0 (never) to 1 (always)"},
    {"accept4:error=EINTR:prob=-0.1", 25, 4, "out of range; a probability is from 0 (never) to 1 (always)"},
    {"accept4:error=EINTR:prob=5%", 25, 2, "not a probability; expected a number from 0 (never) to 1 (always)"},
    {"accept4:error=EINTR:prob=nan", 25, 3, "not a probability; expected a number from 0 (never) to 1 (always)"},
    {"accept4:error=EINTR:prob=0x1p-1", 25, 6, "not a probability; expected a number from 0 (never) to 1 (always)"},
    {"accept4:error=EINTR:times=0", 26, 1, "out of range; the number of injections is from 1 to 9223372036854775807"},
    {"accept4:error=EINTR:per=threads", 24, 7, "unknown scope 'threads'; did you mean thread?"},
    {"accept4:error=EINTR:per=cpu", 24, 3, "unknown scope 'cpu'; expected tree, process, thread, fd or site"},
    {"accept4:error=EINTR:after=3", 27, 1, "a time needs a unit here: s, ms, us or ns"},
    {"accept4:error=EINTR:for=500", 27, 1, "a time needs a unit here: s, ms, us or ns"},
    {"accept4:error=EINTR:for=0s", 24, 2, "a window of no time: the rule would never act"},
    {"accept4:error=EINTR:after=start", 31, 1, "expected +TIME after start, as in after=start+2s"},
    {"accept4:error=EINTR:after=start+2", 33, 1, "a time needs a unit here: s, ms, us or ns"},
    {"accept4:error=EINTR:fd=-1", 23, 2, "'-1' is not a number; a descriptor is from 0 to 2147483647"},
    {"accept4:error=EINTR:port=0", 25, 1, "out of range; a port is from 1 to 65535"},
    {"accept4:error=EINTR:port=http", 25, 4, "'http' is not a number; a port is from 1 to 65535"},
    {"accept4:error=EINTR:local=localhost", 26, 9,
     "not an address; expected 127.0.0.1, \"127.0.0.1:80\", \"::1\" or "
     "\"[::1]:80\" (quoted, or with \\: for each colon)"},
    {"accept4:error=EINTR:local=127.0.0.1:80", 36, 2,
     "unknown key '80'; a colon that belongs to the value of local= is "
     "written \\:, or the value \"quoted\""},
    {"accept4:error=EINTR:local=\"1.2.3.4:0\"", 27, 9, "out of range; a port is from 1 to 65535"},
    {"accept4:error=EINTR:local=\"1.2.3.4:\"", 27, 8, "'' is not a number; a port is from 1 to 65535"},
    {"accept4:error=EINTR:local=\"[1.2.3.4]:80\"", 27, 12,
     "not an address; expected 127.0.0.1, \"127.0.0.1:80\", \"::1\" or "
     "\"[::1]:80\" (quoted, or with \\: for each colon)"},
    {"accept4:error=EINTR:type=tcp", 25, 3, "unknown type of socket 'tcp'; expected inet, inet6 or unix"},
    {"accept4:error=EINTR:comm=abcdefghijklmnop", 25, 16, "can never match: the kernel cuts such a name to 15 bytes"},
    {"accept4:error=EINTR:thread=\"\"", 28, 1, "the name is empty; a process and a thread always have one"},
    {"accept4:error=EINTR:name=\"\"", 26, 1, "a name has 1 to 64 bytes"},
    /* call sites */
    {"accept4:error=EINTR:caller=", 27, 1,
     "caller= needs a value: a function, as in ngx_event_accept, worker_*@nginx or 0x3b1f0@nginx"},
    {"accept4:error=EINTR:caller=\"\"", 28, 1,
     "the function is missing; expected NAME, NAME@MODULE or 0xOFFSET@MODULE"},
    {"accept4:error=EINTR:stack=@nginx", 26, 6,
     "the function is missing; expected NAME, NAME@MODULE or 0xOFFSET@MODULE"},
    {"accept4:error=EINTR:stack=main@", 31, 1,
     "the module is missing behind the '@'; expected NAME, NAME@MODULE or 0xOFFSET@MODULE"},
    {"accept4:error=EINTR:stack=main@/usr/sbin/nginx", 31, 15,
     "a module is named without its folder, as in nginx or libevent*"},
    {"accept4:error=EINTR:stack=0x12", 26, 4, "an offset needs its module, as in 0x3b1f0@nginx"},
    {"accept4:error=EINTR:caller=0xfun@nginx", 27, 5,
     "'0xfun' is not an offset; expected NAME, NAME@MODULE or 0xOFFSET@MODULE"},
    {"accept4:error=EINTR:caller=0x@nginx", 27, 2,
     "'0x' is not an offset; expected NAME, NAME@MODULE or 0xOFFSET@MODULE"},
    {"accept4:error=EINTR:caller=0x0@nginx", 27, 3, "out of range; an offset is from 0x1 to 0xffffffffffff"},
    {"accept4:error=EINTR:caller=0x1000000000000@nginx", 27, 15,
     "out of range; an offset is from 0x1 to 0xffffffffffff"},
    {"accept4:error=EINTR:site=9f3ac1d2", 25, 8,
     "not a call site; expected its 16 hexadecimal digits, as `snag trace -k` shows them"},
    {"accept4:error=EINTR:site=9f3ac1d29f3ac1dg", 25, 16,
     "not a call site; expected its 16 hexadecimal digits, as `snag trace -k` shows them"},
    {"accept4:error=EINTR:site=0000000000000000", 25, 16, "no call site has the number 0"},
    {"accept4:error=EINTR:per=sites", 24, 5, "unknown scope 'sites'; did you mean site?"},
    {"accept4:error=EINTR:callers=main", 20, 7, "unknown key 'callers'; did you mean caller?"},
    {"accept4:error=EINTR:caller=std::net::accept", 31, 1,
     "an action or a trigger is missing here; a colon that belongs to the value of caller= is written \\:, or the "
     "value "
     "\"quoted\""},
    /* what does not fit together */
    {"listen:socklen=0", 7, 7, "listen can't have 'socklen'; these calls can:"},
    {"accept4,bind:family=inet", 13, 6, "bind can't have 'family'; these calls can:"},
    {"%setup:fdmin=1024", 7, 5, "what is left of these calls can't have 'fdmin'; these calls can:"},
    {"accept4:backlog=3", 8, 7, "accept4 can't have 'backlog'; these calls can:"},
    {"socket:error=EMFILE:port=80", 20, 4, "socket can't have 'port'; these calls can:"},
    {"socket:error=EMFILE:fd=3", 20, 2, "socket can't have 'fd'; these calls can:"},
    {"socket:error=EMFILE:per=fd", 20, 3, "socket can't have 'per=fd'; these calls can:"},
    {"poll:error=EINTR:pending", 17, 7, "poll can't have 'pending'; these calls can:"},
    {"poll:error=EINTR:type=inet", 17, 4, "poll can't have 'type'; these calls can:"},
    {"bind:error=EACCES:queue=drop", 18, 5, "bind can't have 'queue'; these calls can:"},
    {"accept4:error=EINTR:retval=3", 20, 6, "'error' and 'retval' exclude each other: a call can't fail and succeed"},
    {"accept4:retval=3:error=EINTR", 17, 5, "'retval' and 'error' exclude each other: a call can't fail and succeed"},
    {"fault=accept4:retval=3", 14, 6, "'fault=' and 'retval' exclude each other: a call can't fail and succeed"},
    {"accept4:error=EINTR:socklen=0", 20, 7,
     "'error' and 'socklen' exclude each other: a call that fails reports no address"},
    {"accept4:fdmin=9:error=EINTR", 16, 5,
     "'fdmin' and 'error' exclude each other: a call that fails makes no descriptor"},
    {"listen:error=EINVAL:backlog=0", 20, 7, "'error' and 'backlog' exclude each other: a call that fails is not made"},
    {"listen:retval=0:backlog=0", 16, 7, "'retval' and 'backlog' exclude each other: retval= does not make the call"},
    {"accept4:retval=3:queue=drop", 17, 5, "'queue' has no place here: it goes with error="},
    {"accept4:retval=3:force", 17, 5, "'force' has no place here: it goes with error="},
    {"accept4:retval=3:sticky", 17, 6, "'sticky' has no place here: it goes with error="},
    {"accept4:error=ENOMEM:sticky", 21, 6,
     "'sticky' has no place here: it goes with EMFILE and ENFILE, which end when a descriptor is closed"},
    {"accept4:error=EINTR:path=/a:port=80", 28, 4, "'path' and 'port' exclude each other: a unix socket has no port"},
    {"accept4:error=EINTR:type=inet:path=/a", 30, 4, "'path' has no place here: only sockets of type=unix have a path"},
    {"accept4:error=EINTR:type=unix:port=80", 30, 4, "'port' has no place here: a unix socket has no port"},
    {"accept4:error=EINTR:type=inet6:local=1.2.3.4", 31, 5,
     "'local' has no place here: the address is of another type than type="},
    {"accept4:error=EINTR:local=\"1.2.3.4:81\":port=80", 39, 4, "'port' has no place here: local= names another port"},
};

static void rejected_plans_say_what_and_where(void **state)
{
    (void)state;
    char said[TEXT_MAX], wanted[TEXT_MAX];
    struct plan *plan = fresh();
    for (size_t i = 0; i < sizeof rejected / sizeof rejected[0]; i++) {
        if (add(plan, rejected[i].input, said) == 0)
            fail_msg("accepted: %s", rejected[i].input);
        int end =
            snprintf(wanted, sizeof wanted, "snag: %s\n%*s^", rejected[i].input, (int)(6 + rejected[i].column), "");
        for (size_t tilde = 1; tilde < rejected[i].width; tilde++)
            wanted[end++] = '~';
        snprintf(wanted + end, sizeof wanted - (size_t)end, "\nsnag: %s\n", rejected[i].message);
        if (strncmp(said, wanted, strlen(wanted)) != 0)
            fail_msg("said:\n%swanted:\n%s", said, wanted);
        assert_int_equal(plan_rule_count(plan), 0);
    }
    plan_free(plan);
}

static void refused_errno_lists_what_the_call_can_return(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    assert_int_equal(add(plan, "listen:error=ENOENT", said), -1);
    assert_non_null(strstr(said, "it can with\nsnag:   EADDRINUSE EINVAL EOPNOTSUPP EBADF ENOTSOCK EACCES ENOBUFS\n"));
    plan_free(plan);
}

/* Each errno of each row is legal for its call, and no other is, unless forced. */
static void legality_is_that_of_the_table(void **state)
{
    (void)state;
    char expression[128], said[TEXT_MAX];
    for (enum call call = 0; call < CALL_COUNT; call++) {
        for (int number = 1; number < 140; number++) {
            struct plan *plan = fresh();
            snprintf(expression, sizeof expression, "%s:error=%d", call_info(call)->name, number);
            assert_int_equal(add(plan, expression, said) == 0, call_errno(call, number) != NULL);
            snprintf(expression, sizeof expression, "%s:error=%d:force", call_info(call)->name, number);
            assert_int_equal(add(plan, expression, said), 0);
            plan_free(plan);
        }
    }
}

static void caret_stays_aligned(void **state)
{
    (void)state;
    static const struct {
        const char *input, *said;
    } cases[] = {
        {"acc\tpt4:error=EINTR:x\ty=1", "snag: acc\tpt4:error=EINTR:x\ty=1\n      ^~~\t~~~\n"
                                        "snag: unknown call 'acc\\tpt4'; did you mean accept4?\n"},
        {"accept4:comm=\tl:eror=EINTR", "snag: accept4:comm=\tl:eror=EINTR\n                   \t  ^~~~\n"
                                        "snag: unknown key 'eror'; did you mean error?\n"},
        {"accept4:comm=\xc3\xa9\xe2\x82\xac:eror=1", "snag: accept4:comm=\xc3\xa9\xe2\x82\xac:eror=1\n"
                                                     "                      ^~~~\n"
                                                     "snag: unknown key 'eror'; did you mean error?\n"},
        {"accept4:comm=\x01\x7f\n\xff:eror=1", "snag: accept4:comm=\\x01\\x7f\\n\\xff:eror=1\n"
                                               "                                  ^~~~\n"
                                               "snag: unknown key 'eror'; did you mean error?\n"},
        {"accept4:\xc2\x9b\xc2\xa0=1", "snag: accept4:\\xc2\\x9b\xc2\xa0=1\n              ^~~~~~~~~\n"
                                       "snag: unknown key '\\xc2\\x9b\xc2\xa0'; expected one of\n"},
        /* overlong, a surrogate, out of range, cut short */
        {"accept4:comm=\xe0\x80\x80\xed\xa0\x80:eror=1", "snag: accept4:comm=\\xe0\\x80\\x80\\xed\\xa0\\x80:eror=1\n   "
                                                         "                                         ^~~~\n"},
        {"accept4:comm=\xf4\x90\x80\x80\xe2\x82:eror=1", "snag: accept4:comm=\\xf4\\x90\\x80\\x80\\xe2\\x82:eror=1\n   "
                                                         "                                         ^~~~\n"},
        {"accept4:\x1b[1m=1", "snag: accept4:\\x1b[1m=1\n              ^~~~~~~\n"
                              "snag: unknown key '\\x1b[1m'; expected one of\n"},
    };
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(add(plan, cases[i].input, said), -1);
        if (strncmp(said, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("said:\n%swanted:\n%s", said, cases[i].said);
    }
    plan_free(plan);
}

/* A text of 60 KiB is shown by the part around the mistake, the caret under it. */
static void long_texts_are_cut_around_the_caret(void **state)
{
    (void)state;
    char said[TEXT_MAX], *text = malloc(60001);
    assert_non_null(text);
    struct plan *plan = fresh();
    memset(text, 'x', 60000);
    memcpy(text, "accept4:name=", 13);
    memcpy(text + 30000, ":eror=1:", 8);
    text[60000] = '\0';
    text[13 + 5] = ':';
    memcpy(text + 19, "path=", 5);
    assert_int_equal(add(plan, text, said), -1);
    const char *first = said, *second = strchr(said, '\n') + 1;
    assert_true(strncmp(first, "snag: ...xxx", 12) == 0);
    assert_true(second - first < 200);
    const char *caret = strchr(second, '^');
    assert_non_null(caret);
    assert_memory_equal(first + (caret - second), "eror=1:x", 8);
    assert_memory_equal(caret, "^~~~\n", 5);
    free(text);
    plan_free(plan);
}

/* The same in characters of two bytes: none is cut in two, whatever byte the cut would fall on. */
static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char said[TEXT_MAX], text[2048];
    for (int shift = 0; shift < 2; shift++) {
        struct plan *plan = fresh();
        size_t end = (size_t)snprintf(text, sizeof text, "accept4:path=%s", shift ? "x" : "");
        for (int i = 0; i < 500; i++, end += 2)
            snprintf(text + end, sizeof text - end, "\xc3\xa9");
        end += (size_t)snprintf(text + end, sizeof text - end, ":");
        for (int i = 0; i < 200; i++, end += 2)
            snprintf(text + end, sizeof text - end, "\xc3\xa9");
        assert_int_equal(add(plan, text, said), -1);
        assert_true(strncmp(said, "snag: ...\xc3\xa9", 11) == 0);
        const char *newline = strchr(said, '\n');
        assert_memory_equal(newline - 5, "\xc3\xa9...", 5);
        /* The key is quoted in the message, cut too. */
        assert_non_null(strstr(said, "\xc3\xa9...'; a colon that belongs to the value of path="));
        assert_null(strstr(said, "\\x"));
        plan_free(plan);
    }
}

static char file_path[64];

static void file_write(const char *text, size_t length)
{
    snprintf(file_path, sizeof file_path, "/tmp/snag-plan-test.XXXXXX");
    int fd = mkstemp(file_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    close(fd);
}

/* Adds a file that holds TEXT.  What was said is in SAID, the file's name in it replaced by FILE. */
static int add_text(struct plan *plan, const char *text, size_t length, char *said)
{
    char raw[TEXT_MAX] = "";
    file_write(text, length);
    int added = add_file(plan, file_path, raw);
    unlink(file_path);
    size_t end = 0;
    for (const char *at = raw; *at;) {
        if (strncmp(at, file_path, strlen(file_path)) == 0) {
            memcpy(said + end, "FILE", 4);
            end += 4;
            at += strlen(file_path);
        } else {
            said[end++] = *at++;
        }
    }
    said[end] = '\0';
    return added;
}

/* --- Plans --- */

static void traces_are_no_rules(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    assert_false(plan_traces(plan, CALL_accept));
    assert_int_equal(add(plan, "trace=%accept,bind", said), 0);
    assert_int_equal(add(plan, "trace=epoll_*", said), 0);
    assert_int_equal(plan_rule_count(plan), 0);
    assert_true(plan_traces(plan, CALL_accept) && plan_traces(plan, CALL_accept4) && plan_traces(plan, CALL_bind));
    assert_true(plan_traces(plan, CALL_epoll_wait) && plan_traces(plan, CALL_epoll_pwait2));
    assert_false(plan_traces(plan, CALL_listen) || plan_traces(plan, CALL_poll));
    plan_free(plan);
}

static void rules_keep_their_order_and_strings(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    assert_int_equal(add(plan, "  inject=bind:retval=0:name=first", said), 0);
    assert_int_equal(add(plan, "listen:retval=0:path=/x", said), 0);
    assert_string_equal(plan_rule_text(plan, 0), "inject=bind:retval=0:name=first");
    assert_string_equal(plan_rule_name(plan, 0), "first");
    assert_null(plan_rule_name(plan, 1));
    struct rule_set *set = compile(plan, false);
    assert_int_equal(set->count, 2);
    assert_int_equal(set->tallies, 2);
    assert_int_equal(set->rules[1].tally, 1);
    assert_int_equal(set->strings[STRING_NONE], '\0');
    assert_string_equal(set->strings + set->rules[0].label, "first");
    assert_string_equal(set->strings + set->rules[1].text, "listen:retval=0:path=/x");
    assert_string_equal(set->strings + set->rules[1].path, "/x");
    assert_int_equal(set->rules[1].label, STRING_NONE);
    free(set);
    plan_free(plan);
}

static void compiled_plan_makes_a_sound_board(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        assert_int_equal(add(plan, accepted[i].input, said), 0);
    struct rule_set *set = compile(plan, false);
    void *memory = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    struct board *board = board_make(memory, board_size(), set, 1);
    assert_non_null(board);
    assert_null(board_fault(memory, board_size()));
    assert_string_equal(board_string(board, board_rules(board, 0)[5].text), accepted[5].input);
    munmap(memory, board_size());
    free(set);
    plan_free(plan);
}

static void strace_counts_splits_by_call_and_thread(void **state)
{
    (void)state;
    char said[TEXT_MAX], text[TEXT_MAX];
    static const char *const wanted[] = {"accept fail=4 when=3-3/0 scope=2", "accept4 fail=4 when=3-3/0 scope=2",
                                         "accept,accept4 fail=24 scope=1", "bind fail=13 scope=2"};
    static const uint32_t tallies[] = {0, 0, 1, 2};
    struct plan *plan = fresh();
    assert_int_equal(add(plan, "%accept:error=EINTR:when=3", said), 0);
    assert_int_equal(add(plan, "%accept:error=EMFILE:per=process", said), 0);
    assert_int_equal(add(plan, "bind:error=EACCES", said), 0);
    assert_int_equal(plan_board_rules(plan, false), 3);
    assert_int_equal(plan_board_rules(plan, true), 4);
    struct rule_set *set = compile(plan, true);
    assert_int_equal(set->count, 4);
    assert_int_equal(set->tallies, 3);
    for (uint32_t i = 0; i < 4; i++) {
        dump(set, i, text);
        assert_string_equal(text, wanted[i]);
        assert_int_equal(set->rules[i].tally, tallies[i]);
    }
    free(set);
    plan_free(plan);
}

static void boards_limits_are_the_plans(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    struct rule_set *set = malloc(sizeof *set);
    assert_non_null(set);
    for (int i = 0; i < RULE_MAX; i++)
        assert_int_equal(add(plan, "%accept:error=EINTR", said), 0);
    assert_int_equal(add(plan, "accept:error=EINTR", said), -1);
    assert_non_null(strstr(said, "\nsnag: too many rules: a plan holds 128\n"));
    assert_int_equal(plan_rule_count(plan), RULE_MAX);
    assert_int_equal(plan_compile(plan, false, set), 0);
    assert_int_equal(set->count, RULE_MAX);
    assert_int_equal(plan_board_rules(plan, true), 2 * RULE_MAX);
    assert_int_equal(plan_compile(plan, true, set), -1);
    assert_int_equal(errno, E2BIG);
    assert_int_equal(set->count, 0);
    free(set);
    plan_free(plan);
}

static void equal_functions_are_one_pattern(void **state)
{
    (void)state;
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    assert_int_equal(add(plan, "accept:error=EINTR", said), 0);
    struct rule_set *set = compile(plan, false);
    assert_false(set->sites);
    free(set);
    assert_int_equal(add(plan, "accept:error=EINTR:stack=main:caller=serve", said), 0);
    assert_int_equal(add(plan, "accept4:error=EINTR:caller=main", said), 0);
    set = compile(plan, false);
    assert_true(set->sites);
    assert_int_equal(set->pattern_count, 2);
    assert_int_equal(set->rules[1].stack_pattern, set->rules[2].caller_pattern);
    assert_int_not_equal(set->rules[1].stack_pattern, set->rules[1].caller_pattern);
    free(set);
    plan_free(plan);
}

static void call_sites_are_asked_for_where_needed(void **state)
{
    (void)state;
    static const char *const needing[] = {"accept:error=EINTR:per=site", "accept:error=EINTR:caller=f",
                                          "accept:error=EINTR:stack=f", "accept:error=EINTR:site=0000000000000001"};
    char said[TEXT_MAX];
    for (size_t i = 0; i < sizeof needing / sizeof needing[0]; i++) {
        struct plan *plan = fresh();
        assert_int_equal(add(plan, needing[i], said), 0);
        struct rule_set *set = compile(plan, false);
        assert_true(set->sites);
        free(set);
        plan_free(plan);
    }
}

static void functions_of_a_plan_are_limited(void **state)
{
    (void)state;
    char said[TEXT_MAX], text[64], *file = NULL;
    size_t size;
    struct plan *plan = fresh();
    for (int i = 0; i < PATTERN_MAX / 2; i++) {
        snprintf(text, sizeof text, "accept:error=EINTR:caller=a%d:stack=b%d", i, i);
        assert_int_equal(add(plan, text, said), 0);
    }
    assert_int_equal(add(plan, "accept:error=EINTR:stack=c", said), -1);
    assert_non_null(strstr(said, "too many functions: the rules of a plan may have 128 caller= and stack= in all"));
    struct rule_set *set = compile(plan, false);
    assert_int_equal(set->pattern_count, PATTERN_MAX);
    free(set);
    plan_free(plan);
    /* A file that is refused takes no room. */
    plan = fresh();
    FILE *out = open_memstream(&file, &size);
    assert_non_null(out);
    for (int i = 0; i < PATTERN_MAX; i++)
        fprintf(out, "accept:error=EINTR:stack=b%d\n", i);
    fprintf(out, "nonsense\n");
    fclose(out);
    assert_int_equal(add_text(plan, file, size, said), -1);
    free(file);
    assert_int_equal(add(plan, "accept:error=EINTR:stack=c", said), 0);
    plan_free(plan);
}

static void boards_strings_are_limited(void **state)
{
    (void)state;
    char said[TEXT_MAX], *text = malloc(40000);
    assert_non_null(text);
    struct plan *plan = fresh();
    int end = snprintf(text, 40000, "accept4:error=EINTR:path=/");
    /* The text and the glob are both kept: 2 * LENGTH - 25 + 2 bytes, and a byte for the empty string. */
    size_t length = (BOARD_STRINGS - 1 - 2 + 25) / 2;
    memset(text + end, 'p', length - (size_t)end + 1);
    text[length + 1] = '\0';
    assert_int_equal(add(plan, text, said), -1);
    assert_non_null(
        strstr(said, "\nsnag: too much text: the rules of a plan, with their names and globs, may take 65536 bytes\n"));
    assert_int_equal(plan_rule_count(plan), 0);
    /* A file that is refused takes no room. */
    text[length - 1] = '\n';
    assert_int_equal(add_text(plan, text, length + 1, said), -1);
    assert_non_null(strstr(said, "FILE:2:1: unknown call 'p'"));
    text[length - 1] = 'p';
    text[length] = '\0';
    assert_int_equal(add(plan, text, said), 0);
    struct rule_set *set = compile(plan, false);
    assert_true(set->strings_size <= BOARD_STRINGS && set->strings_size >= BOARD_STRINGS - 1);
    assert_int_equal(strlen(set->strings + set->rules[0].path), length - 25);
    free(set);
    free(text);
    plan_free(plan);
}

/* --- Files --- */

static void plan_files_are_read(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf# a plan\r\n"
                               "\r\n"
                               "  accept4:error=EMFILE:when=1..50   # a burst\r\n"
                               "set \t seed=42\r\n"
                               "\tbind:error=EACCES:path=\"/a #b\"\n"
                               "listen:error=EADDRINUSE:path=/a#b # comment\n"
                               "fault=socket\n"
                               "trace=close\n"
                               "   #\n"
                               "accept:error=EINTR";
    char said[TEXT_MAX], compiled[TEXT_MAX];
    struct plan *plan = fresh();
    if (add_text(plan, text, sizeof text - 1, said) < 0)
        fail_msg("refused: %s", said);
    assert_int_equal(plan_rule_count(plan), 5);
    assert_int_equal(plan_seed(plan), 42);
    assert_true(plan_traces(plan, CALL_close));
    assert_string_equal(plan_rule_text(plan, 0), "accept4:error=EMFILE:when=1..50");
    struct rule_set *set = compile(plan, false);
    dump(set, 1, compiled);
    assert_string_equal(compiled, "bind fail=13 path=</a #b>");
    dump(set, 2, compiled);
    assert_string_equal(compiled, "listen fail=98 path=</a#b>");
    assert_string_equal(plan_rule_text(plan, 4), "accept:error=EINTR");
    assert_int_equal(set->seed, 42);
    free(set);
    plan_free(plan);
}

static void every_bad_line_is_shown_and_nothing_is_added(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf\xc3\xa9:error=EINTR\r\n"
                               "accept4:error=EINTR\n"
                               "set seed=7\n"
                               "trace=accept\n"
                               "  accept4:error=EMFLE # slip\n"
                               "set sed=3\n"
                               "set seed=x\n"
                               "set seed=8\n"
                               "set seed\n";
    static const char wanted[] = "FILE:1:1: unknown call '\xc3\xa9'; `snag faults` lists the calls\n"
                                 "    \xc3\xa9:error=EINTR\n"
                                 "    ^\n"
                                 "FILE:5:17: unknown errno 'EMFLE'; did you mean EMFILE?\n"
                                 "      accept4:error=EMFLE # slip\n"
                                 "                    ^~~~~\n"
                                 "FILE:6:5: unknown setting 'sed'; did you mean seed?\n"
                                 "    set sed=3\n"
                                 "        ^~~\n"
                                 "FILE:7:10: 'x' is not a number; the seed is from 0 to 18446744073709551615\n"
                                 "    set seed=x\n"
                                 "             ^\n"
                                 "FILE:8:5: the seed is set twice in this plan\n"
                                 "    set seed=8\n"
                                 "        ^~~~~~\n"
                                 "FILE:9:9: expected =NUMBER here, as in `set seed=42`\n"
                                 "    set seed\n"
                                 "            ^\n";
    char said[TEXT_MAX];
    struct plan *plan = fresh();
    assert_int_equal(add(plan, "bind:error=EACCES", said), 0);
    struct rule_set *before = compile(plan, false);
    assert_int_equal(add_text(plan, text, sizeof text - 1, said), -1);
    assert_int_equal(errno, EINVAL);
    assert_string_equal(said, wanted);
    struct rule_set *after = compile(plan, false);
    assert_memory_equal(before, after, sizeof *before);
    assert_false(plan_traces(plan, CALL_accept));
    assert_int_equal(plan_seed(plan), 0);
    /* What the bad file set is free to be set again. */
    assert_int_equal(add_text(plan, "set seed=9\n", 11, said), 0);
    assert_int_equal(plan_seed(plan), 9);
    free(before);
    free(after);
    plan_free(plan);
}

/* Returns LINE that many times, for the caller to free. */
static char *repeat(const char *line, int times)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    for (int i = 0; i < times; i++)
        fputs(line, out);
    fclose(out);
    return text;
}

static void bad_lines_are_bounded(void **state)
{
    (void)state;
    char said[TEXT_MAX], *text = repeat("bnd:error=EACCES\n", PLAN_ERRORS_MAX + 3);
    struct plan *plan = fresh();
    assert_int_equal(add_text(plan, text, strlen(text), said), -1);
    free(text);
    assert_non_null(strstr(said, "FILE:20:1:"));
    assert_null(strstr(said, "FILE:21:1:"));
    assert_non_null(strstr(said, "\nsnag: and 3 more bad lines\n"));
    plan_free(plan);
}

static void too_many_rules_in_a_file_add_none(void **state)
{
    (void)state;
    char said[TEXT_MAX], *text = repeat("accept:error=EINTR\n", RULE_MAX + 1);
    struct plan *plan = fresh();
    assert_int_equal(add_text(plan, text, strlen(text), said), -1);
    assert_true(strncmp(said, "FILE:129:1: too many rules: a plan holds 128\n", 45) == 0);
    assert_int_equal(plan_rule_count(plan), 0);
    free(text);
    plan_free(plan);
}

static void files_that_are_no_plans_are_refused(void **state)
{
    (void)state;
    static const char binary[] = "accept:error=EINTR\n\0x";
    char said[TEXT_MAX] = "", *big = malloc(10 << 20);
    assert_non_null(big);
    struct plan *plan = fresh();
    assert_int_equal(add_file(plan, "/nonexistent/plan", said), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(said, "snag: /nonexistent/plan: No such file or directory\n");
    assert_int_equal(add_file(plan, "/", said), -1);
    assert_string_equal(said, "snag: /: Is a directory\n");
    assert_int_equal(add_text(plan, binary, sizeof binary - 1, said), -1);
    assert_string_equal(said, "snag: FILE: not a plan: a binary file (it holds a NUL byte)\n");
    memset(big, '#', 10 << 20);
    assert_int_equal(add_text(plan, big, 10 << 20, said), -1);
    assert_string_equal(said, "snag: FILE: not a plan: larger than 1 MiB\n");
    assert_int_equal(add_text(plan, big, PLAN_FILE_MAX, said), 0);
    assert_int_equal(add_text(plan, "", 0, said), 0);
    assert_int_equal(plan_rule_count(plan), 0);
    free(big);
    plan_free(plan);
}

static void callers_seed_wins(void **state)
{
    (void)state;
    static const char text[] = "set seed=0xffffffffffffffff\n";
    char said[TEXT_MAX];
    struct plan *early = fresh(), *late = fresh();
    plan_set_seed(early, 7);
    assert_int_equal(add_text(early, text, sizeof text - 1, said), 0);
    assert_int_equal(plan_seed(early), 7);
    assert_int_equal(add_text(late, text, sizeof text - 1, said), 0);
    assert_true(plan_seed(late) == UINT64_MAX);
    plan_set_seed(late, 7);
    assert_int_equal(plan_seed(late), 7);
    plan_free(early);
    plan_free(late);
}

/* --- Words --- */

static void rules_are_described(void **state)
{
    (void)state;
    static const struct {
        const char *input, *words;
    } cases[] = {
        {"accept4:error=EMFILE:when=1..50",
         "Makes accept4 fail with EMFILE (RLIMIT_NOFILE is reached). A pending connection stays in the queue. Each "
         "descriptor that the process closes lets one call through. Acts on matching calls 1 to 50; calls are counted "
         "over "
         "all processes together.\n"},
        {"%accept:error=ECONNABORTED:times=1:per=thread",
         "Makes accept and accept4 fail with ECONNABORTED (the peer went before its name could be read). The pending "
         "connection is taken out of the queue and reset; with an empty queue and a non-blocking socket the call says "
         "EAGAIN "
         "and counts as missed. Acts on every matching call, once in all; calls are counted for each thread.\n"},
        {"%setup:error=EADDRINUSE:when=2", "Makes setsockopt, bind and listen fail with EADDRINUSE. Acts on matching "
                                           "call 2 alone; calls are counted over all "
                                           "processes together. Left out, for this can't be done to them: socket.\n"},
        {"accept4,close:error=EINTR:prob=0.5:when=3..9+2", "Makes accept4 and close fail with EINTR. For accept4, a "
                                                           "pending connection stays in the queue. For close, the call "
                                                           "does its work all the same. Acts on matching calls 3, 5, 7 "
                                                           "and so on up to 9, with a probability of 0.5; calls are "
                                                           "counted over all processes together.\n"},
        {"accept4:socklen=0:pending:after=1.5s:for=20ms:local=\"[::1]:80\"",
         "Lets accept4 go ahead, then reports an address length of 0. Acts on every matching call; calls are counted "
         "over all "
         "processes together. A call matches if its socket's own address is [::1]:80, and a connection is waiting, and "
         "it "
         "asks for the address. Calls are counted from 1.5s after the server is ready, for 20ms.\n"},
        {"listen:backlog=1:signal=10:delay_enter=10ms:delay_exit=5:when=3+",
         "Lets listen go ahead, with a backlog of 1, after sending SIGUSR1 to the calling thread, after a delay of "
         "10ms, and "
         "delays the return by 5us. Acts on matching call 3 and all after it; calls are counted over all processes "
         "together.\n"},
        {"%all:delay_enter=1s:when=4..5+2:prob=0", "Lets every call that snag knows go ahead, after a delay of 1s. "
                                                   "Acts on matching call 4 alone, with a probability of "
                                                   "0: never; calls are counted over all processes together.\n"},
        {"accept4:family=inet6:fdmin=1024:fd=3:type=unix:path=/a*:comm=x:thread=y:per=fd",
         "Lets accept4 go ahead, then reports the address family inet6, then moves the new descriptor to 1024 or "
         "above. Acts "
         "on every matching call; calls are counted for each descriptor. A call matches if its descriptor is 3, and "
         "its "
         "socket is of the family unix, and its socket's path matches '/a*', and the process's name matches 'x', and "
         "the "
         "thread's name matches 'y', and it asks for the address.\n"},
        {"listen:error=EINVAL:per=site:caller=serve*:stack=main@nginx:site=9f3ac1d200000001:type=inet",
         "Makes listen fail with EINVAL (a connected socket, or an unbound unix socket). Acts on every matching call; "
         "calls are counted for each call site. A call matches if its socket is of the family inet, and the function "
         "that makes it matches 'serve*', and a function on its stack matches 'main@nginx', and it is made at the call "
         "site 9f3ac1d200000001.\n"},
        {"accept4:error=ENOENT:force:when=1..5+4", "Makes accept4 fail with ENOENT. A pending connection stays in the "
                                                   "queue. Acts on matching calls 1, 5; calls are "
                                                   "counted over all processes together.\n"},
        {"accept4:error=EFAULT", "Makes accept4 fail with EFAULT (the address is not writable memory). The pending "
                                 "connection is taken out of the queue and closed; with an empty queue and a "
                                 "non-blocking socket the call says EAGAIN and counts as missed. Acts on every "
                                 "matching call; calls are counted over all processes together.\n"},
        {"accept4:error=EMFILE:queue=drop:sticky:when=2+3",
         "Makes accept4 fail with EMFILE (RLIMIT_NOFILE is reached). The pending connection is taken out of the queue "
         "and "
         "reset; with an empty queue and a non-blocking socket the call says EAGAIN and counts as missed. That the "
         "process "
         "closes descriptors changes nothing. Acts on matching calls 2, 5, 8 and so on; calls are counted over all "
         "processes "
         "together.\n"},
    };
    char said[TEXT_MAX], words[TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan *plan = fresh();
        assert_int_equal(add(plan, cases[i].input, said), 0);
        FILE *out = fmemopen(words, sizeof words, "w");
        assert_non_null(out);
        plan_describe(plan, 0, out);
        fclose(out);
        assert_string_equal(words, cases[i].words);
        plan_free(plan);
    }
}

static void durations_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum duration_bare bare;
        uint64_t ns;
    } cases[] = {
        {"10ms", DURATION_BARE_REFUSED, 10000000},
        {"1.5ms", DURATION_BARE_REFUSED, 1500000},
        {"0s", DURATION_BARE_REFUSED, 0},
        {".5us", DURATION_BARE_REFUSED, 500},
        {"5.s", DURATION_BARE_REFUSED, 5000000000},
        {"1e3ns", DURATION_BARE_REFUSED, 1000},
        {"1E-3s", DURATION_BARE_REFUSED, 1000000},
        {"1.9ns", DURATION_BARE_REFUSED, 1},
        {"250", DURATION_BARE_MICROSECONDS, 250000},
        {"0.001", DURATION_BARE_MICROSECONDS, 1},
        {"1e-999999999999s", DURATION_BARE_REFUSED, 0},
        {"0e999999999999s", DURATION_BARE_REFUSED, 0},
        {"1000000000000000000000000000e-24s", DURATION_BARE_REFUSED, 1000000000000},
        {"9223372036854775807ns", DURATION_BARE_REFUSED, INT64_MAX},
        {"0.00000000000000000000000000000000000000000001e40s", DURATION_BARE_REFUSED, 100000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 99;
        if (duration_parse(cases[i].text, strlen(cases[i].text), cases[i].bare, &ns, NULL) < 0 || ns != cases[i].ns)
            fail_msg("%s is %" PRIu64, cases[i].text, ns);
    }
}

static void durations_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        size_t at, length;
    } cases[] = {
        {"", EINVAL, 0, 0},
        {"ms", EINVAL, 0, 2},
        {".", EINVAL, 0, 1},
        {"-1s", EINVAL, 0, 3},
        {"5", EINVAL, 1, 0},
        {"5sec", EINVAL, 1, 3},
        {"1.2.3s", EINVAL, 3, 3},
        {"1e", EINVAL, 1, 1},
        {"1e+s", EINVAL, 1, 3},
        {"1 s", EINVAL, 1, 2},
        {"infs", EINVAL, 0, 4},
        {"1e99s", ERANGE, 0, 5},
        {"1S", EINVAL, 1, 1},
        {"0x1s", EINVAL, 1, 3},
        {"9223372037s", ERANGE, 0, 11},
        {"9223372036854775808ns", ERANGE, 0, 21},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct duration_fault fault = {0};
        uint64_t ns;
        errno = 0;
        if (duration_parse(cases[i].text, strlen(cases[i].text), DURATION_BARE_REFUSED, &ns, &fault) == 0)
            fail_msg("accepted: %s", cases[i].text);
        assert_int_equal(errno, cases[i].error);
        if (fault.at != cases[i].at || fault.length != cases[i].length)
            fail_msg("%s: at %zu, %zu", cases[i].text, fault.at, fault.length);
        assert_non_null(fault.message);
    }
}

static void durations_come_back(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {{0, "0s"},
                 {1, "1ns"},
                 {999, "999ns"},
                 {1000, "1us"},
                 {1500000, "1.5ms"},
                 {1000000000, "1s"},
                 {1000000001, "1.000000001s"},
                 {INT64_MAX, "9223372036.854775807s"}};
    char text[DURATION_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 99;
        assert_string_equal(duration_text(cases[i].ns, text), cases[i].text);
        assert_int_equal(duration_parse(text, strlen(text), DURATION_BARE_REFUSED, &ns, NULL), 0);
        assert_true(ns == cases[i].ns);
    }
}

static void names_come_back(void **state)
{
    (void)state;
    char text[SIGNAL_NAME_MAX];
    for (int number = 1; number <= 133; number++)
        if (errno_name(number))
            assert_int_equal(errno_by_name(errno_name(number), strlen(errno_name(number))), number);
    assert_int_equal(errno_by_name("ENOTSUP", 7), EOPNOTSUPP);
    assert_int_equal(errno_by_name("EDEADLOCK", 9), EDEADLK);
    assert_int_equal(errno_by_name("EMFILES", 6), EMFILE);
    assert_int_equal(errno_by_name("", 0), 0);
    assert_null(errno_name(0));
    assert_null(errno_name(-1));
    assert_null(errno_name(4095));
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        signal_name(number, text);
        if (number != 32 && number != 33)
            assert_int_equal(signal_by_name(text, strlen(text)), number);
    }
    assert_int_equal(signal_by_name("SIGIOT", 6), SIGABRT);
    assert_int_equal(signal_by_name("SIG", 3), 0);
    assert_int_equal(signal_by_name("", 0), 0);
    assert_int_equal(signal_by_name("RTMIN+", 6), 0);
    assert_int_equal(family_by_name("inet6", 5), AF_INET6);
    assert_int_equal(family_by_name("", 0), -1);
    assert_string_equal(family_name(AF_UNIX), "unix");
}

/* --- Noise --- */

static uint64_t noise;

static uint32_t noise_next(void)
{
    noise = noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(noise >> 33);
}

/* Changes TEXT (of at most SIZE - 1 bytes) in one place. */
static void mutate(char *text, size_t size)
{
    static const char spice[] = ":=,\"\\+.%*?[]0189#!/ \t\n\x01\x80\xc3\xa9\xff-eE~s@";
    size_t length = strlen(text), at = length ? noise_next() % length : 0;
    const char *other = rejected[noise_next() % (sizeof rejected / sizeof rejected[0])].input;
    switch (noise_next() % 5) {
    case 0: /* drop a byte */
        memmove(text + at, text + at + (length > 0), length - at + (length == 0));
        break;
    case 1: /* another byte */
        if (length)
            text[at] = spice[noise_next() % (sizeof spice - 1)];
        break;
    case 2: /* a byte more */
        if (length + 2 < size) {
            memmove(text + at + 1, text + at, length - at + 1);
            text[at] = spice[noise_next() % (sizeof spice - 1)];
        }
        break;
    case 3: /* the end of another */
        if (at + strlen(other) + 1 < size)
            snprintf(text + at, size - at, "%s", other + noise_next() % (strlen(other) + 1));
        break;
    default: /* cut */
        text[at] = '\0';
    }
}

/* Columns of a shown text: its characters. */
static size_t shown_columns(const char *text, size_t length)
{
    size_t columns = 0;
    for (size_t i = 0; i < length; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Three lines at least, each behind the prefix; the caret under the text, or one column behind it. */
static void assert_well_said(const char *said)
{
    const char *second = strchr(said, '\n') + 1, *third = strchr(second, '\n') + 1;
    size_t shown = shown_columns(said, (size_t)(second - 1 - said)), marked = (size_t)(third - 1 - second);
    const char *caret = memchr(second, '^', marked);
    bool behind = caret && caret + 1 == third - 1;
    if (strncmp(said, "snag: ", 6) != 0 || strncmp(third, "snag: ", 6) != 0 || caret == NULL || caret - second < 6 ||
        marked > shown + behind)
        fail_msg("badly said:\n%s", said);
    for (const char *at = said; *at; at++)
        if ((unsigned char)*at < 0x20 && *at != '\n' && *at != '\t')
            fail_msg("a control character in:\n%s", said);
}

static void noise_is_refused_with_a_caret(void **state)
{
    (void)state;
    enum { ROUNDS = 20000 };
    char text[512], said[TEXT_MAX];
    int refused = 0;
    noise = 42;
    for (int round = 0; round < ROUNDS; round++) {
        struct plan *plan = fresh();
        size_t start = noise_next() % (sizeof accepted / sizeof accepted[0]);
        snprintf(text, sizeof text, "%s", accepted[start].input);
        for (uint32_t i = noise_next() % 4; i > 0; i--)
            mutate(text, sizeof text);
        if (add(plan, text, said) < 0) {
            assert_well_said(said);
            assert_int_equal(plan_rule_count(plan), 0);
            refused++;
        } else if (plan_rule_count(plan) == 1) {
            FILE *out = fmemopen(said, sizeof said, "w");
            assert_non_null(out);
            plan_describe(plan, 0, out);
            fclose(out);
        }
        plan_free(plan);
    }
    /* Both ways were taken often. */
    assert_true(refused > ROUNDS / 4 && refused < ROUNDS * 4 / 5);
}

TEST_MAIN(TEST(accepted_plans_compile_to_what_they_say), TEST(rules_text_compiles_to_the_same_rule),
          TEST(rejected_plans_say_what_and_where), TEST(refused_errno_lists_what_the_call_can_return),
          TEST(legality_is_that_of_the_table), TEST(caret_stays_aligned), TEST(long_texts_are_cut_around_the_caret),
          TEST(long_texts_are_cut_between_characters), TEST(traces_are_no_rules),
          TEST(rules_keep_their_order_and_strings), TEST(compiled_plan_makes_a_sound_board),
          TEST(strace_counts_splits_by_call_and_thread), TEST(boards_limits_are_the_plans),
          TEST(boards_strings_are_limited), TEST(equal_functions_are_one_pattern),
          TEST(call_sites_are_asked_for_where_needed), TEST(functions_of_a_plan_are_limited), TEST(plan_files_are_read),
          TEST(every_bad_line_is_shown_and_nothing_is_added), TEST(bad_lines_are_bounded),
          TEST(too_many_rules_in_a_file_add_none), TEST(files_that_are_no_plans_are_refused), TEST(callers_seed_wins),
          TEST(rules_are_described), TEST(durations_parse), TEST(durations_refuse), TEST(durations_come_back),
          TEST(names_come_back), TEST(noise_is_refused_with_a_caret))
