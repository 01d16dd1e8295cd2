/* version.h - the version of snag. */
#ifndef SNAG_VERSION_H
#define SNAG_VERSION_H

#define SNAG_VERSION "0.1.0"

#endif
