/*
 * escape.h - text from anywhere, a server's output included, as XML and HTML may hold it.
 *
 * Markup is escaped; control characters and what is no UTF-8 become U+FFFD, for XML has no way to write them.
 */
#ifndef SNAG_REPORT_ESCAPE_H
#define SNAG_REPORT_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/* Writes TEXT, terminated, to OUT. */
void escape_xml(const char *text, FILE *out);

/* Writes LENGTH bytes of TEXT to OUT; they may hold zeros. */
void escape_xml_bytes(const char *text, size_t length, FILE *out);

/* Writes TEXT, terminated, as a cell of a Markdown table. */
void escape_markdown(const char *text, FILE *out);

#endif
