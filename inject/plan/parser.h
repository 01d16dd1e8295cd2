/*
 * parser.h - what parse.c (the shape of an expression), parse_action.c, parse_trigger.c and parse_site.c (what each key takes,
 * by means of parse_value.c) and parse_check.c (what fits together) share; faults.c reads the tables of keys.
 */
#ifndef SNAG_PARSER_H
#define SNAG_PARSER_H

#include "plan/duration.h"
#include "plan/parse.h"

/* The keys of the language: actions and what goes with them, then, from KEY_WHEN on, triggers. */
enum key {
    KEY_ERROR,
    KEY_RETVAL,
    KEY_SOCKLEN,
    KEY_FAMILY,
    KEY_FDMIN,
    KEY_BACKLOG,
    KEY_DELAY_ENTER,
    KEY_DELAY_EXIT,
    KEY_SIGNAL,
    KEY_QUEUE,
    KEY_STICKY,
    KEY_FORCE,
    KEY_WHEN,
    KEY_PROB,
    KEY_TIMES,
    KEY_PER,
    KEY_AFTER,
    KEY_FOR,
    KEY_PENDING,
    KEY_FD,
    KEY_PORT,
    KEY_LOCAL,
    KEY_PATH,
    KEY_TYPE,
    KEY_COMM,
    KEY_THREAD,
    KEY_NAME,
    KEY_CALLER,
    KEY_STACK,
    KEY_SITE,
    KEY_COUNT
};

struct parser {
    const char *at, *end; /* what is left of the source */
    struct diag *diag;
    struct plan_rule *out;
    uint64_t named[CALL_WORDS]; /* calls that were named, not meant by a glob or class: they are strict */
    struct slice calls;         /* where they stand in the source */
    struct slice keys[KEY_COUNT], values[KEY_COUNT]; /* where each stands; keys[].at is NULL for one not given */
    enum key last;                                   /* the key before this one; KEY_COUNT: none */
    bool fault;                                      /* fault=: error=ENOSYS is implied */
};

struct key_info {
    const char *name;
    const char *takes;                                       /* in words; NULL: it takes no value */
    int (*parse)(struct parser *parser, struct slice value); /* returns 0, or -1 as parse_expression() does */
    unsigned traits; /* one of these must be among a call's; 0: every call can have it */
    bool acts;       /* a rule needs one that does */
    bool text;       /* may hold colons */
};

/* The rows by key: those below KEY_WHEN, and those from there on. */
extern const struct key_info parse_action_keys[KEY_WHEN];
extern const struct key_info parse_trigger_keys[KEY_COUNT];

/* What caller=, stack= and site= take, for the table (parse_site.c). */
int parse_caller(struct parser *parser, struct slice value);
int parse_stack(struct parser *parser, struct slice value);
int parse_site(struct parser *parser, struct slice value);

/* Returns the row of KEY, below KEY_COUNT. */
const struct key_info *key_info(enum key key);

/* Returns whether the rule has KEY. */
static inline bool parser_has(const struct parser *parser, enum key key)
{
    return parser->keys[key].at != NULL;
}

/* A number at the start of a text. */
struct digits {
    size_t length;  /* in characters; 0: there is none */
    uint64_t value; /* UINT64_MAX if it is TOO_LARGE */
    bool too_large; /* for 64 bits */
};

/* Reads a number, decimal or 0x, at the start of TEXT. */
struct digits parse_digits(struct slice text);

/*
 * Returns VALUE without its escapes, for the caller to free; NULL with errno ENOMEM.  In a GLOB a backslash keeps quoting
 * what follows, but for \: and \".
 */
char *parse_text(struct slice value, bool glob);

/* Parses VALUE as a time.  Returns 0, or -1 as parse_expression(). */
int parse_duration(struct parser *parser, struct slice value, enum duration_bare bare, uint64_t *out);

/* Finds VALUE among the COUNT WORDS; WHAT they are goes into the message.  Returns the index, or -1. */
int parse_word(struct parser *parser, struct slice value, const char *what, const char *const words[], int count);

/* Checks that the parts of the rule fit each other and the calls, and takes the calls out that a pattern may lose. */
int parse_check(struct parser *parser);

#endif
