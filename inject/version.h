/* version.h - the version of snag. */
#ifndef SNAG_VERSION_H
#define SNAG_VERSION_H

#define SNAG_VERSION "0.1.0"

/* What --version prints: the version, and the commit that it was built from ("unknown": not from a repository). */
extern const char snag_version[];

#endif
