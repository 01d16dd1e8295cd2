/*
 * folder.h - what is kept of an exploration, as files: DIR/cases/ID/ with case.json (what is needed to do it again),
 * trace.jsonl, output, and verdict.json.
 */
#ifndef SNAG_FOLDER_H
#define SNAG_FOLDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "explore/explore.h"
#include "explore/measures.h"

enum { FOLDER_PATH_MAX = 4096 };

/* A case that was tried. */
struct result {
    struct fault_case item;
    struct ruling ruling;
    bool failed; /* snag could not try it: the evidence says why */
    bool flaky;  /* runs of it disagreed */
    bool fatal;  /* a process of the server ended badly, and nothing says where: the next run is watched (crash.h) */
    unsigned runs;
    enum verdict seen[3]; /* their headlines */
    uint64_t took_ms;
    uint32_t accepted; /* bit VERDICT_x: a --baseline file lists it */
    unsigned dir;      /* index of the folder that it is in, for reports on several */
};

/*
 * Makes DIR and DIR/cases.  With RESUME it may be one of ours.  Returns 0, or -1, having said why: it is there already, can't
 * be written, ...
 */
int folder_make(const char *dir, bool resume);

/* Makes the folder of case ID in DIR and writes its path to OUT.  Returns -1 with errno. */
int folder_case(const char *dir, const char *id, char out[FOLDER_PATH_MAX]);

/* Writes case.json and verdict.json of RESULT, whose figures are M.  CONTROL: what it is judged against.  -1 with errno. */
int folder_write(const char *dir, const struct config *config, const struct result *result, const struct measures *m,
                 const struct measures *control);

/* Makes FILE and FILE.SUFFIX of a case one: the newer one stays. */
void folder_adopt(const char *path, const char *suffix);
void folder_discard(const char *path, const char *suffix);

/* Reads verdict.json of the case in folder PATH into OUT and M.  Returns 0, or -1 having said what is wrong. */
int folder_read(const char *path, struct result *out, struct measures *m);

/* Reads case.json of folder PATH for a replay: the object, to be given back.  NULL, having said what is wrong. */
json_t *folder_case_json(const char *path);

/* Reads from that object the case, its limits and thresholds, and the control figures.  Returns -1 if one is not right. */
int folder_read_case(const json_t *object, struct config *config, struct fault_case *item, struct measures *control);

/* Reads verdict.json of folder PATH likewise. */
json_t *folder_verdict_json(const char *path);

/* Figures to JSON and back: all of them. */
json_t *figures_json(const struct measures *m);
int figures_read(const json_t *object, struct measures *out);

/* The case itself, its verdict and its evidence, as summary.json has them. */
json_t *result_json(const struct result *result, const struct measures *m);

/* Reads the case itself from what has been written with result_json() or in case.json.  Returns -1 if something is missing. */
int item_read(const json_t *object, struct fault_case *out);

/* Reads what result_json() wrote.  Returns -1 if something is missing or of another kind. */
int result_read(const json_t *object, struct result *out);

#endif
