/*
 * options.h - what `snag run`, `snag trace` or `snag session start` was asked to do, read and checked.
 */
#ifndef SNAG_OPTIONS_H
#define SNAG_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/plan.h"
#include "run/environment.h"

/* How the server is tried once it is ready. */
enum ask {
    ASK_NOTHING,  /* snag follows the server until it ends */
    ASK_CLIENT,   /* --client: a command */
    ASK_CONNECT,  /* --connect: a connection that the server accepts */
    ASK_EXCHANGE, /* --send, --expect */
    ASK_HTTP,     /* --http PATH */
    ASK_HTTPS,    /* --https PATH */
};

/* Bytes that may hold zeros. */
struct bytes {
    char *data; /* NULL: not given */
    size_t length;
};

struct options {
    struct plan *plan;
    char *const *server; /* the command and its arguments; NULL ends it */
    enum ask ask;
    const char *client;    /* ASK_CLIENT */
    const char *http_path; /* ASK_HTTP, ASK_HTTPS */
    struct bytes send, expect;
    const char *ready_command;             /* --ready, or NULL */
    const char *trace_path, *summary_path; /* -o, --summary, or NULL */
    const char *backend;                   /* by name */
    uint64_t client_timeout_ns;            /* 0: none */
    uint64_t ready_timeout_ns, stop_timeout_ns;
    uint64_t for_ns; /* --for; 0: none */
    int stop_signal;
    bool strict, strace_counts;
    bool stacks;      /* `snag trace -k`: with each call, the stack that led to it */
    bool sites;       /* records hold their call sites, and rules may ask for them, those that are added later too */
    bool live;        /* `snag trace`: calls are shown as they happen, with their arguments */
    bool standalone;  /* `snag session start`: no server is started, `server` is NULL */
    const char *name; /* --name, or NULL */
    enum environment_format format; /* standalone: how the environment is printed */
};

/*
 * Reads the arguments of `snag run`, `snag trace` and `snag session start` (ARGV[0], "run", "trace" or "start", says which)
 * into OUT and sets up say.h.  Returns -1 if the run may go on, else the exit status: 0 after --help, 125 after an error, which has been said.  OUT is to be freed in either case.
 */
int options_parse(struct options *out, int argc, char **argv);

/* The long options of all three, and whether SUBCOMMAND ("run", "trace", "session") has the one that is OPTION. */
extern const struct option run_options[];
bool run_takes(const char *subcommand, int option);

/* Frees what options_parse() made.  OPTIONS itself is the caller's. */
void options_free(struct options *options);

/* Whether the run waits until the server is ready. */
bool options_wait(const struct options *options);

/* Whether ASK is one of the built-in probes. */
bool ask_is_probe(enum ask ask);

#endif
