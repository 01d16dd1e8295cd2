/*
 * snag - makes a network server's calls fail on purpose, and says what the server does.
 *
 * Where things are:
 *
 *     version.[ch]                  what --version says
 *
 *     engine/call.[ch], calls.def   the calls that can fail, as tables
 *     engine/rule.h, event.h        what is on the board: a rule, a record;  ticks.h  the counter that stamps it
 *     engine/stack.[ch]             call sites on the board: modules, stacks, where functions are
 *     engine/unwinder.h             what libunwind is told alike, in a process and from outside
 *     engine/board.[ch]             the memory that snag and the processes under test share
 *     engine/decide.[ch]            the one decision: does a rule act on this call?
 *
 *     plan/                         plan text -> rules: parser, errors with a caret, `snag check`, `snag faults`
 *
 *     run/run.c                     cmd_run(), cmd_trace(), cmd_session(), from here to session_run()
 *     run/options.c, escape.c       its command line
 *     run/session.c                 a run: makes everything, runs the loop, reports
 *     run/steps.c, events.c         what happens next; what a record of the shim means
 *     run/rulebook.c, command.c     the rules of a session, and how they change; what `snag ctl` may ask of it
 *     run/environment.c             what gets a server that is started elsewhere into a session
 *     run/backend.h, preload.c      the seam to what puts faults into a server, and LD_PRELOAD behind it
 *     run/installed.c               where the shim and the lessons' servers are
 *     run/seccomp.c, filter.c       the one from outside: a seccomp filter, and its program
 *     run/supervisor.c, notified.c  takes the calls that wait for us; what becomes of one
 *     run/takeover.c, readiness.c   an accept made in the server's stead; a server seen to be ready
 *     run/outside.c, evidence.c     what decide() asks, and what a record shows, read from outside
 *     run/target.c, recorder.c      the server's processes and threads; records from snag itself
 *     run/callsite.c                where a call was made, found from outside:
 *           registers.c, stackwalk.c      a thread's registers, by ptrace; its stack, by libunwind
 *           mapping.c, program.c          the files that a process has mapped; what a program's file says besides
 *     run/warden.c                  answers in our stead when we are gone
 *     run/reach.c, attach.c         can the shim get into a program: looked at before, proved after
 *     run/unseen.c                  what it does past the shim: io_uring, accepts of its own
 *     run/boardfile.c               the board's file, made and cleaned up
 *     run/spawn.c, tree.c, proc.c   starting processes, following them, reading /proc
 *     run/keeper.c                  between us and a client: keeps its orphans from passing for the server's
 *     run/output.c                  the server's output, passed on
 *     run/ready.c, endpoint.c       when the server is ready, and where
 *     run/client.c, probe.c         --client and --ready; the built-in clients
 *     run/verdict.c, summary.c      one word for what happened; the report
 *     run/where.c                   what a run says of call sites
 *     run/say.c, clock.h            words on stderr; time
 *
 *     sites/sites.c                 call sites: found on the board, named, counted
 *     sites/modules.c               the modules of a board as files
 *     sites/symbols.c, lines.c      functions in such a file; lines, and what was inlined
 *     sites/gotable.c               Go's own table of its functions
 *     sites/pattern.c, resolve.c    caller= and stack=: where in the modules they are, told to the shim
 *     sites/demangle.c, texts.c     names as people write them; where strings are kept
 *
 *     explore/explore.c, config.c   cmd_explore(): its command line, and ./snag.conf
 *     explore/campaign.c            an exploration from its baseline to its report
 *     explore/case.c, cases.c       one case: its rule and its id; a baseline -> all of them
 *     explore/worker.c, place.c     a process for each case; a network of its own
 *     explore/trial.c               one case, as the script of a run (run/session.h)
 *     explore/visitor.c, measure.c  its clients; what /proc says of the server;  crash.c  where a signal struck
 *     explore/oracle.c              its figures -> its verdicts
 *     explore/folder.c, accepted.c  what is kept of it; --baseline
 *     explore/replay.c, diff.c      cmd_replay(), cmd_diff();  minimise.c  the least of a rule
 *     explore/squeeze.c             cmd_squeeze(): a running server, without anything in it;  watchdog.c  gives back
 *     control/ctl.c                 cmd_ctl(): `snag ctl`
 *     control/found.c, frame.h      the sessions that there are, and asking one; what goes over the socket
 *     control/server.c              the socket's other end, on our own evconnlistener (listener/)
 *
 *     trace/drain.c                 the rings on the board -> records, in order
 *     trace/jsonl.c, address.c      records -> JSON Lines; socket addresses as text
 *     trace/strace.c                records -> lines as strace prints them
 *     trace/decode.[ch]             a call's arguments as text, by the row of each call:
 *           decode_socket.c, decode_fd.c, decode_wait.c, decode_uring.c
 *     trace/words.c, constants.c    text that is cut to fit; the names of numbers in arguments
 *
 *     report/report.c               cmd_report(): `snag report`
 *     report/reader.c               the lines of a trace, checked
 *     report/figures.c, life.c      what they come to: counts; the lives of sockets;
 *           callsites.c             where the calls were made
 *     report/text.c, json.c         the report, for people and for programs
 *     report/campaign.c, matrix.c   an exploration: all reports on it; the order of its tables
 *     report/terminal.c, markdown.c, junit.c, html.c
 *           html_style.c, html_timeline.c, html_stack.c   parts of the page (the last also for the terminal);  escape.c  text from anywhere
 *
 *     lesson/lesson.c               cmd_lesson(): `snag lesson`
 *     lesson/text.c, embed.c        the lessons' texts (texts/), as data, and all files that are in the program (files.def)
 *     lesson/stage.c, script.c      a lesson's run: a server under the shim, and its clients
 *     lesson/step.c                 what the shim recorded and what the server told -> steps
 *     lesson/check.c, grade.c       is what a text claims what the steps show?  a student's points
 *     lesson/cells.c, lanes.c       a step in words; lanes in the terminal
 *     lesson/page.c, exercise.c     the page (its script and style are in page/); --exercise
 *     lesson/server/                the servers of the lessons: server.h is their map
 *
 *     subcommand.h                  a row of the table of subcommands, below
 *     help/help.c, text.awk         `snag help TOPIC`: parts of the manual pages (man/), made plain text by text.awk
 *     completion/completion.c       what the shells ask when Tab is pressed (snag.bash, _snag):
 *           values.c, rule.c        values of options; how a rule can go on
 */
#include <stdio.h>
#include <string.h>

#include "completion/completion.h"
#include "control/ctl.h"
#include "explore/explore.h"
#include "explore/squeeze.h"
#include "help/help.h"
#include "lesson/lesson.h"
#include "plan/names.h"
#include "plan/plan.h"
#include "report/report.h"
#include "run/options.h"
#include "run/run.h"
#include "run/say.h"
#include "subcommand.h"
#include "version.h"

static const struct subcommand subcommands[] = {
    {"run", "start a server under a fault plan, and say what it did", cmd_run, run_options, "e:o:qv", run_takes},
    {"explore", "try every fault at every call, with a verdict for each", cmd_explore, explore_options, "o:j:qv",
     explore_takes},
    {"replay", "try a case of an exploration again", cmd_replay, replay_options, "o:", NULL},
    {"diff", "compare two explorations", cmd_diff, diff_options, "", NULL},
    {"squeeze", "take the free descriptors of a running server away for a while", cmd_squeeze, squeeze_options, "",
     NULL},
    {"trace", "start a server, and print its calls as they happen", cmd_trace, run_options, "e:o:qvk", run_takes},
    {"ctl", "change the plan of a server that runs under snag, and look at it", cmd_ctl, ctl_options, "", NULL},
    {"session", "begin a session that a server started elsewhere can join", cmd_session, run_options, "e:o:qv",
     run_takes},
    {"report", "sum up a trace: rules, calls, the life of each socket", cmd_report, report_options, "", NULL},
    {"lesson", "show what happens inside a listener, step by step", cmd_lesson, lesson_options, "o:", NULL},
    {"check", "say in words what a plan will do", cmd_check, check_options, "e:h", NULL},
    {"faults", "list what can fail, and what happens then", cmd_faults, faults_options, "h", NULL},
};

enum { SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static int help(FILE *out)
{
    fputs("usage: snag SUBCOMMAND [ARGUMENT]...\n"
          "Makes a network server's calls fail on purpose, and says what the server does.\n\n",
          out);
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf(out, "  snag %-8s %s\n", subcommands[i].name, subcommands[i].help);
    fputs("\n  snag completion bash|zsh   the shell's completion, to be sourced\n\n", out);
    help_list(out);
    fputs("\nsnag SUBCOMMAND --help says more; snag --version says which one this is.  For example:\n"
          "  snag run -e accept4:error=EMFILE:when=1..50 --connect -- redis-server --port 7391\n",
          out);
    return fflush(out) == 0 && out == stdout ? 0 : EXIT_SNAG;
}

/* `snag help NAME`: a subcommand's --help, or a topic. */
static int help_on(char *name)
{
    static char option[] = "--help";
    const char *text = help_text(name);
    struct nearest nearest = nearest_to(name, strlen(name));
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(name, subcommands[i].name) == 0)
            return subcommands[i].run(2, (char *[]){name, option, NULL});
        nearest_offer(&nearest, subcommands[i].name);
    }
    for (size_t i = 0; help_topic(i) != NULL; i++)
        nearest_offer(&nearest, help_topic(i));
    if (text != NULL) {
        fputs(text, stdout);
        return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
    }
    if (nearest.best != NULL)
        say_error("no help on '%s'; did you mean %s?", name, nearest.best);
    else
        say_error("no help on '%s'; snag help lists what there is", name);
    return EXIT_SNAG;
}

static int unknown(const char *name)
{
    struct nearest nearest = nearest_to(name, strlen(name));
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        nearest_offer(&nearest, subcommands[i].name);
    const char *kind = name[0] == '-' ? "option" : "subcommand";
    if (nearest.best != NULL)
        say_error("unknown %s '%s'; did you mean %s?", kind, name, nearest.best);
    else
        say_error("unknown %s '%s'; see snag --help", kind, name);
    return EXIT_SNAG;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "help") == 0 && argc > 2 && argv[2][0] != '-')
        return help_on(argv[2]);
    if (strcmp(argv[1], "completion") == 0)
        return completion_run(subcommands, SUBCOMMANDS, argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        fputs(snag_version, stdout);
        return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
