/*
 * explore.h - the subcommands `snag explore`, `snag replay` and `snag diff`, and what they are asked to do.
 *
 *     config.c     the command line and ./snag.conf
 *     cases.c      a baseline -> the list of cases
 *     campaign.c   runs them, several at a time, each in a process of its own: worker.c, place.c
 *     trial.c      one case: visitor.c (clients), measure.c (/proc)
 *     oracle.c     its figures -> its verdicts
 *     folder.c     what is kept of a case, as files
 *     replay.c (with minimise.c), diff.c, accepted.c (--baseline)
 */
#ifndef SNAG_EXPLORE_H
#define SNAG_EXPLORE_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "explore/case.h"
#include "explore/oracle.h"
#include "explore/trial.h"
#include "run/options.h"

enum {
    JOBS_MAX = 64,
    NAMES_LIST_MAX = 32, /* words of --faults and --sites */
};

/* A list of words, as --faults EMFILE,socklen=0 gives it. */
struct word_list {
    size_t count;
    const char *words[NAMES_LIST_MAX];
    char *text; /* that holds them */
};

struct config {
    struct options run; /* server, client, times */
    char **arguments;   /* that `run` was read from; its strings are these */
    const char *out;    /* folder */
    struct word_list faults, sites;
    const char *listen; /* the one listener to test; NULL: all */
    uint32_t modes;     /* bit MODE_x; 0: all */
    bool all, impossible, list, resume;
    unsigned jobs;
    bool jobs_given;
    uint64_t max_cases, time_limit_ns, seed; /* 0: none */
    bool seed_given;
    unsigned shard, shards; /* from 1; 0: all */
    const char *baseline, *write_baseline;
    uint32_t fail_on; /* bit VERDICT_x */
    struct trial_limits limits;
    struct thresholds thresholds;
    bool quiet;
    bool isolated; /* each case has a network of its own: found out, not asked for */
};

/*
 * Reads the arguments of `snag explore` (ARGV[0]) and ./snag.conf into OUT and sets up say.h.  Returns -1 to go on, else the
 * exit status.  OUT is to be freed in either case.
 */
int config_parse(struct config *out, int argc, char **argv);
void config_free(struct config *config);

/* Makes OUT what config_parse() starts from. */
void config_defaults(struct config *out);

/* Returns the verdicts that fail unless told, as bits. */
uint32_t config_fail_on(void);

/* Reads a list of verdicts into *OUT, as bits.  Returns 0, or -1 with the place in TEXT of the word that is none. */
int config_verdicts(const char *text, uint32_t *out, const char **bad);

/* Runs the campaign.  Returns the exit status. */
int campaign_run(struct config *config);

/*
 * Tries ITEM alone, on the server of CONFIG, with its files in FOLDER; ISOLATED: in a network of its own.  Fills OUT.  Returns
 * 0; -1 if it was interrupted or could not be started, having said why.
 */
struct measures;
int campaign_try(struct config *config, const struct fault_case *item, enum trial_aim aim, bool isolated,
                 const char *folder, struct measures *out);

/* Their long options. */
extern const struct option explore_options[], replay_options[], diff_options[];

/* Whether OPTION is for the command line of `snag explore`, and not for ./snag.conf alone. */
bool explore_takes(const char *subcommand, int option);

/* The subcommands.  ARGV[0] is the name.  Return the exit status. */
int cmd_explore(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_diff(int argc, char **argv);

#endif
