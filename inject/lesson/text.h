/*
 * text.h - a lesson's text as data.
 *
 * A file is lines "key: value"; a line that starts with a blank goes on with the value before, "#" starts a comment line.
 *
 *     title, question, remember, trap     once each
 *     about                               paragraphs
 *     claim      what the run shows       followed by   check    how that is checked (check.h); at least one
 *     ask        a question before the run, and   choice   its answers, with checks: one is right
 *     task       what a student's server is to do;  grade   "POINTS text", with checks
 *     rule       a rule of the plan       do     a line of the script (stage.h)
 *     function   "FILE FUNCTION" of ours  manual "NAME(SECTION)"
 *
 * The last four groups but ask and choice are those of the English file alone: a translation is texts.
 */
#ifndef SNAG_TEXT_H
#define SNAG_TEXT_H

#include <jansson.h>

/*
 * Returns lesson NAME in LANGUAGE, or in English where there is none in that, as an object: each key above; those that can
 * be repeated as a list; claim, choice and grade as objects {text, checks[], points}; and name, language.  NULL if there
 * is no such lesson (errno ENOENT) or its text has a mistake (EINVAL), which has been said.
 */
json_t *text_lesson(const char *name, const char *language);

/* Returns the words of LANGUAGE as an object, key -> value; NULL as above. */
json_t *text_words(const char *language);

/* Returns words[KEY], or KEY itself. */
const char *text_word(const json_t *words, const char *key);

/*
 * Parses TEXT, of a file called WHERE.  Returns an object of lists, or NULL with the place of the mistake in ERROR (SIZE
 * bytes).
 */
json_t *text_parse(const char *text, const char *where, char *error, size_t size);

#endif
