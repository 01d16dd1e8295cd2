/*
 * demangle.h - the names that a function goes by: as the linker knows it, and as people write it.
 *
 * C++ and Rust, legacy and v0, are taken apart by libiberty, which is kept up with both languages by those who write the
 * compilers.  What a compiler appends to a part or a copy of a function (.cold, .part.0, .isra.0, .constprop.0, .lto_priv.0,
 * .llvm.123, in any number) is no part of its name.  No state; safe from any thread.
 */
#ifndef SNAG_DEMANGLE_H
#define SNAG_DEMANGLE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NAME_MAX_BYTES = 4096, /* of one form, terminator included; a longer form is left out */
};

/*
 * The forms of one name.  For a C function all but the first are its name without what compilers append.
 *
 *     symbol      _ZN2ns3AccIiE2goIiEET_iS3_.cold          _ZN4core3net6accept17h0123456789abcdefE
 *     base        _ZN2ns3AccIiE2goIiEET_iS3_               (the same)
 *     full        ns::Acc<int>::go<int>(int, int)          core::net::accept
 *     bare        ns::Acc<int>::go<int>                    core::net::accept
 *     plain       ns::Acc::go                              core::net::accept
 *     hashed      ns::Acc<int>::go<int>                    core::net::accept::h0123456789abcdef
 */
struct name_forms {
    char base[NAME_MAX_BYTES], full[NAME_MAX_BYTES], bare[NAME_MAX_BYTES], plain[NAME_MAX_BYTES],
        hashed[NAME_MAX_BYTES]; /* "": left out */
};

/* Returns the length of SYMBOL without what a compiler appended. */
size_t name_base_length(const char *symbol);

/* Whether SYMBOL looks like a mangled name. */
bool name_is_mangled(const char *symbol);

/* Writes the forms of SYMBOL to OUT. */
void name_forms(struct name_forms *out, const char *symbol);

/*
 * Writes the form of SYMBOL that people are shown, `bare`, to OUT, and returns it; of a name that can't be taken apart, its
 * base.  What does not fit is cut off.
 */
const char *name_shown(const char *symbol, char out[NAME_MAX_BYTES]);

/* Writes NAME, a form that is shown, without its template arguments to OUT (`plain` above), and returns it. */
const char *name_plain(const char *name, char out[NAME_MAX_BYTES]);

#endif
