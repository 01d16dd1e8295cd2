/*
 * installed.h - where the files are that belong to snag: beside it as built, and in LIBDIR/snag as installed.
 */
#ifndef SNAG_INSTALLED_H
#define SNAG_INSTALLED_H

#include <limits.h>

/*
 * Finds the file NAME and puts its path into PATH.  Returns 0; -1, having said where it was looked for, if it is not there or
 * can't be read.
 */
int installed_find(const char *name, char path[PATH_MAX]);

#endif
