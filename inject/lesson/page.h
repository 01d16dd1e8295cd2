/*
 * page.h - a lesson as a page to step through: one file, which asks nothing of any server.
 */
#ifndef SNAG_PAGE_HTML_H
#define SNAG_PAGE_HTML_H

#include <jansson.h>

/* Writes the page of LESSON's run to PATH.  Returns 0, or the exit status, having said why. */
int page_write(const char *path, const json_t *lesson, const json_t *words, const json_t *steps, const json_t *results,
               const char *language, const char *server);

/*
 * Runs all lessons and writes their pages to FOLDER, which is made if need be, with an index; other languages into a folder
 * of their own in it.  Returns as page_write(); 1 if a run did not show what its lesson says.
 */
int page_write_all(const char *folder);

#endif
