/*
 * replay.c - `snag replay`: tries a case again, as its folder says, on the same server or on another one.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "explore/folder.h"
#include "explore/measures.h"
#include "explore/minimise.h"
#include "explore/place.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag replay [OPTION]... DIR/cases/ID [-- SERVER [ARGUMENT]...]\n"
    "Tries a case of snag explore again, or tries it on another server: a build that is to be mended.\n"
    "\n"
    "      --minimise          look for the least that still gives the verdict: fewer faults in a row, fewer "
    "conditions;\n"
    "                          prints the rule, and how many tries it took\n"
    "      --backend NAME      preload, seccomp or auto, as for snag run (what the case has)\n"
    "  -o, --output DIR        keep the trace and the server's output there\n"
    "      --help, --version\n"
    "\n"
    "The last line is the verdict.  Exit status, fit for git bisect run: for a case whose verdict is bad, 1 if it is\n"
    "still so and 0 if it is not any more; for one that was served or declined, 0 if it still is and 1 if not; 125\n"
    "if it can't be judged.\n";

enum { OPTION_HELP = 256, OPTION_VERSION, OPTION_MINIMISE, OPTION_BACKEND };

const struct option replay_options[] = {
    {"minimise", no_argument, NULL, OPTION_MINIMISE}, {"backend", required_argument, NULL, OPTION_BACKEND},
    {"output", required_argument, NULL, 'o'},         {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},   {NULL, 0, NULL, 0},
};

struct replay {
    struct config config;
    struct fault_case item;
    struct measures control, m;
    enum verdict before; /* as the folder has it */
    bool fatal;          /* it is to be watched for where it crashes */
    const char *path, *out;
    bool minimise, isolated;
    unsigned tries;
    const char *folder; /* for the files of a try */
    char **server;      /* of the command line; NULL: the case's own */
    char *backend;      /* of the command line, as an option; NULL: the case's own */
    json_t *object;
};

static int fail(const struct replay *replay, const char *what)
{
    say_error("%s/case.json: %s", replay->path, what);
    return -1;
}

/* The words for run/options.c, which live as long as the object. */
static char **make_words(const struct replay *replay)
{
    static char name[] = "replay", dashes[] = "--";
    const json_t *options = json_object_get(replay->object, "options"),
                 *server = json_object_get(replay->object, "server");
    size_t given = 0, count = 0;
    while (replay->server != NULL && replay->server[given] != NULL)
        given++;
    char **words = calloc(json_array_size(options) + json_array_size(server) + given + 4, sizeof *words);
    if (words == NULL)
        return NULL;
    words[count++] = name;
    for (size_t i = 0; i < json_array_size(options); i++)
        words[count++] = (char *)json_string_value(json_array_get(options, i));
    if (replay->backend != NULL)
        words[count++] = replay->backend;
    words[count++] = dashes;
    for (size_t i = 0; i < given; i++)
        words[count++] = replay->server[i];
    for (size_t i = 0; given == 0 && i < json_array_size(server); i++)
        words[count++] = (char *)json_string_value(json_array_get(server, i));
    return words;
}

static bool are_strings(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return false;
    return json_is_array(list);
}

/* The verdict that it had is what is compared with. */
static int read_before(struct replay *replay)
{
    json_t *object = folder_verdict_json(replay->path);
    const char *word = json_string_value(json_object_get(object, "verdict"));
    replay->before = word != NULL ? verdict_by_word(word, strlen(word)) : VERDICT_NONE;
    bool fine = replay->before != VERDICT_NONE;
    if (object != NULL && !fine)
        say_error("%s/verdict.json: it has no verdict that could be compared with", replay->path);
    const char *sanitizer = json_string_value(json_object_get(json_object_get(object, "figures"), "sanitizer"));
    replay->fatal = trial_is_fatal(replay->before, sanitizer != NULL ? sanitizer : "");
    json_decref(object);
    return fine ? 0 : -1;
}

/* Each process that tries it reads the rule again; what is wrong with it is to be said here, once. */
static int check_rule(const struct replay *replay)
{
    const struct fault_case *item = &replay->item;
    bool injects = item->mode != MODE_EXHAUST && item->mode != MODE_CONTROL;
    if ((item->rule[0] != '\0') != injects)
        return fail(replay, injects ? "a case of that mode needs a rule" : "a case of that mode has no rule");
    if (!injects)
        return 0;
    struct plan *plan = plan_new();
    int result = plan != NULL ? plan_add(plan, item->rule, stderr) : fail(replay, strerror(ENOMEM));
    if (plan != NULL && result != 0)
        fail(replay, "its rule is none");
    plan_free(plan);
    return result;
}

static int read_case(struct replay *replay)
{
    config_defaults(&replay->config);
    replay->object = folder_case_json(replay->path);
    if (replay->object == NULL || read_before(replay) != 0)
        return -1;
    if (folder_read_case(replay->object, &replay->config, &replay->item, &replay->control) != 0)
        return fail(replay, "a member is missing, or of another kind than snag explore writes");
    replay->item.is_short = replay->control.is_short;
    if (check_rule(replay) != 0)
        return -1;
    if (!are_strings(json_object_get(replay->object, "options")) ||
        !are_strings(json_object_get(replay->object, "server")) ||
        json_array_size(json_object_get(replay->object, "server")) == 0)
        return fail(replay, "expected lists of words in options and server");
    replay->config.arguments = make_words(replay);
    if (replay->config.arguments == NULL)
        return fail(replay, strerror(ENOMEM));
    int count = 0;
    while (replay->config.arguments[count] != NULL)
        count++;
    if (options_parse(&replay->config.run, count, replay->config.arguments) != -1)
        return fail(replay, "its options are not those of this snag");
    if (replay->config.run.ask == ASK_NOTHING)
        replay->config.run.ask = ASK_CONNECT;
    if (replay->config.run.ask == ASK_CLIENT && replay->config.run.client_timeout_ns == 0)
        replay->config.run.client_timeout_ns = replay->config.limits.patience_ns;
    return 0;
}

/* The case's own server may have been given by a path from where the user stood then. */
static void go_there(const struct replay *replay)
{
    const char *cwd = json_string_value(json_object_get(replay->object, "cwd"));
    if (replay->server == NULL && cwd != NULL && chdir(cwd) != 0)
        say_note("%s: %s; the server is started from here", cwd, strerror(errno));
}

static int judge(struct replay *replay)
{
    struct ruling ruling;
    bool good = replay->before == VERDICT_SERVED || replay->before == VERDICT_DECLINED;
    if (replay->m.error[0] != '\0' && replay->m.status != 0 && !replay->m.never_ready) {
        say_error("%s", replay->m.error);
        return EXIT_SNAG;
    }
    oracle_judge(&replay->item, &replay->m, &replay->control, &replay->config.thresholds, &ruling);
    bool same = ruling.headline == replay->before;
    printf("%s\n%s\n%s%s%s\nverdict: %s\n", replay->item.id, ruling.evidence,
           same ? "as before" : "before: ", same ? "" : verdict_word(replay->before), "",
           verdict_word(ruling.headline));
    if (fflush(stdout) != 0)
        return EXIT_SNAG;
    if (ruling.headline == VERDICT_UNTESTED && !same)
        return EXIT_SNAG;
    return same == good ? 0 : 1;
}

/* A site's id is of this build; its name stays.  Looks where the call is made in the server that is tried now. */
static int find_site(struct replay *replay, bool isolated, const char *folder)
{
    static const struct fault_case baseline = {.id = "baseline", .call = CALL_NONE, .mode = MODE_CONTROL};
    struct fault_case *item = &replay->item;
    char *old = strstr(item->rule, "site="), id[17];
    if (campaign_try(&replay->config, &baseline, TRIAL_BASELINE, isolated, folder, &replay->m) != 0)
        return -1;
    for (uint32_t i = 0; i < replay->m.site_count && old != NULL; i++) {
        const struct site_seen *seen = &replay->m.sites[i];
        if (seen->call != item->call || strcmp(seen->name, item->site_name) != 0)
            continue;
        snprintf(id, sizeof id, "%016" PRIx64, seen->site);
        memcpy(old + strlen("site="), id, sizeof id - 1); /* as long as the one that was there */
        item->site = seen->site;
        return 0;
    }
    say_error("the server does not call %s in %s", call_info(item->call)->name, item->site_name);
    return -1;
}

/* Whether RULE gives the verdict that is looked for: minimise_try(). */
static int gives_it(void *context, const char *rule, uint32_t count)
{
    struct replay *replay = context;
    struct fault_case item = replay->item;
    struct ruling ruling;
    snprintf(item.rule, sizeof item.rule, "%s", rule);
    if (count > 0)
        item.burst = count;
    replay->tries++;
    if (campaign_try(&replay->config, &item, TRIAL_CASE, replay->isolated, replay->folder, &replay->m) != 0)
        return -1;
    if (replay->m.error[0] != '\0' && replay->m.status != 0 && !replay->m.never_ready) {
        say_error("%s", replay->m.error);
        return -1;
    }
    oracle_judge(&item, &replay->m, &replay->control, &replay->config.thresholds, &ruling);
    bool same = ruling.headline == replay->before;
    if (same && count > 0)
        replay->item.burst = count;
    say_detail("%s: %s", rule, verdict_word(ruling.headline));
    return same ? 1 : 0;
}

static int minimise(struct replay *replay)
{
    struct fault_case *item = &replay->item;
    bool good = replay->before == VERDICT_SERVED || replay->before == VERDICT_DECLINED;
    if (item->rule[0] == '\0' || good || replay->before == VERDICT_UNTESTED) {
        say_error("%s: nothing to minimise: %s", replay->path,
                  item->rule[0] == '\0' ? "nothing is injected" : verdict_word(replay->before));
        return EXIT_SNAG;
    }
    int does = gives_it(replay, item->rule, 0);
    if (does == 0)
        say_error("%s: it is not %s any more: nothing to minimise", replay->path, verdict_word(replay->before));
    uint64_t injected = replay->m.injected;
    if (does != 1 ||
        minimise_rule(item->rule, injected < UINT32_MAX ? (uint32_t)injected : UINT32_MAX, gives_it, replay) != 0)
        return EXIT_SNAG;
    printf("%s\nleast: %s\n%u tries\nverdict: %s\n", item->id, item->rule, replay->tries, verdict_word(replay->before));
    return fflush(stdout) == 0 ? 1 : EXIT_SNAG;
}

static int run_in(struct replay *replay, const char *folder)
{
    bool isolated = replay->config.isolated && place_isolation_error() == 0;
    if (replay->server != NULL && replay->item.site != 0 && find_site(replay, isolated, folder) != 0)
        return EXIT_SNAG;
    replay->isolated = isolated;
    replay->folder = folder;
    if (replay->minimise)
        return minimise(replay);
    if (campaign_try(&replay->config, &replay->item, replay->fatal ? TRIAL_CRASH : TRIAL_CASE, isolated, folder,
                     &replay->m) != 0)
        return EXIT_SNAG;
    return judge(replay);
}

static int run(struct replay *replay)
{
    char folder[FOLDER_PATH_MAX] = "/tmp/snag-replay.XXXXXX", *real = NULL;
    int status = EXIT_SNAG;
    if (read_case(replay) != 0)
        return EXIT_SNAG;
    if (replay->out != NULL && folder_make(replay->out, false) == 0)
        real = realpath(replay->out, NULL);
    if (replay->out != NULL ? real == NULL : mkdtemp(folder) == NULL) {
        if (replay->out == NULL)
            say_error("can't make a folder in /tmp: %s", strerror(errno));
        return EXIT_SNAG;
    }
    go_there(replay);
    status = run_in(replay, real != NULL ? real : folder);
    if (real == NULL)
        place_remove(folder);
    free(real);
    return status;
}

static int take_backend(struct replay *replay, const char *name)
{
    if (strcmp(name, "preload") != 0 && strcmp(name, "seccomp") != 0 && strcmp(name, "auto") != 0) {
        say_error("--backend %s: expected preload, seccomp or auto", name);
        return -1;
    }
    free(replay->backend);
    if (asprintf(&replay->backend, "--backend=%s", name) >= 0)
        return 0;
    replay->backend = NULL;
    say_error("no memory for a case");
    return -1;
}

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

/* Returns -1 to go on, else the exit status. */
static int read_arguments(struct replay *replay, int argc, char **argv)
{
    int option;
    opterr = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, "+:o:", replay_options, NULL)) != -1) {
        if (option == OPTION_HELP)
            return show(help_text);
        if (option == OPTION_VERSION)
            return show(snag_version);
        if (option == OPTION_MINIMISE) {
            replay->minimise = true;
            continue;
        }
        if (option == OPTION_BACKEND) {
            if (take_backend(replay, optarg) != 0)
                return EXIT_SNAG;
            continue;
        }
        if (option != 'o') {
            say_error(option == ':' ? "%s needs a value" : "unknown option %s; see snag replay --help",
                      argv[optind - 1]);
            return EXIT_SNAG;
        }
        replay->out = optarg;
    }
    if (optind == argc) {
        say_error("no case given; snag explore leaves them in DIR/cases/ID");
        return EXIT_SNAG;
    }
    replay->path = argv[optind++];
    if (optind == argc)
        return -1;
    if (strcmp(argv[optind], "--") != 0 || optind + 1 == argc) {
        say_error("%s: expected -- and a server behind the case, or nothing", argv[optind]);
        return EXIT_SNAG;
    }
    replay->server = argv + optind + 1;
    return -1;
}

int cmd_replay(int argc, char **argv)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        say_error("no memory for a case");
        return EXIT_SNAG;
    }
    int status = read_arguments(replay, argc, argv);
    if (status == -1)
        status = run(replay);
    config_free(&replay->config);
    json_decref(replay->object);
    free(replay->backend);
    free(replay);
    return status;
}
