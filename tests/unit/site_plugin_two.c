/* The same code in another file, which takes the place of the first one. */
#include "site_plugin_one.c"
