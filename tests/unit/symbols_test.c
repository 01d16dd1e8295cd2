/*
 * symbols_test.c - names of functions, taken apart; functions and lines out of files; what patterns find in them.  The
 * files are made from tests/unit/modules, and stand beside this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sites/demangle.h"
#include "sites/pattern.h"
#include "sites/symbols.h"
#include "tests/unit/harness.h"

/* The module NAME beside this program; its path goes to PATH. */
static int module_fd(const char *name, char path[2 * PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, (size_t)2 * PATH_MAX, "%s/%s", self, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static struct symbols *module(const char *name)
{
    char path[2 * PATH_MAX];
    int fd = module_fd(name, path);
    struct symbols *symbols = symbols_open(fd, path);
    assert_non_null(symbols);
    return symbols;
}

static const struct function *function(struct symbols *symbols, const char *name)
{
    const struct function *list;
    size_t count = symbols_functions(symbols, &list);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *symbol, *base, *full, *bare, *plain, *hashed;
} names[] = {
    {"ngx_event_accept", "ngx_event_accept", "", "", "", ""},
    {"main.cold", "main", "", "", "", ""},
    {"run.part.0.isra.12.cold", "run", "", "", "", ""},
    {"run.constprop.3.lto_priv.0", "run", "", "", "", ""},
    {"run.llvm.123456", "run", "", "", "", ""},
    {"accept@@GLIBC_2.2.5", "accept", "", "", "", ""},
    {"version.2", "version.2", "", "", "", ""}, /* not a compiler's */
    {".cold", ".cold", "", "", "", ""},
    {"_Z2tfIiET_S0_", "_Z2tfIiET_S0_", "tf<int>(int)", "tf<int>", "tf", "tf<int>"},
    {"_ZN2ns3AccIiE2goIiEET_iS3_.cold", "_ZN2ns3AccIiE2goIiEET_iS3_", "ns::Acc<int>::go<int>(int, int)",
     "ns::Acc<int>::go<int>", "ns::Acc::go", "ns::Acc<int>::go<int>"},
    {"_ZN2ns3AccIiElsEi", "_ZN2ns3AccIiElsEi", "ns::Acc<int>::operator<<(int)", "ns::Acc<int>::operator<<",
     "ns::Acc::operator<<", "ns::Acc<int>::operator<<"},
    {"_ZNK2ns3AccIiEclEi", "_ZNK2ns3AccIiEclEi", "ns::Acc<int>::operator()(int) const", "ns::Acc<int>::operator()",
     "ns::Acc::operator()", "ns::Acc<int>::operator()"},
    {"_ZZ7hidden2iENKUliE_clEi.isra.0", "_ZZ7hidden2iENKUliE_clEi",
     "hidden2(int)::{lambda(int)#1}::operator()(int) const", "hidden2(int)::{lambda(int)#1}::operator()",
     "hidden2(int)::{lambda(int)#1}::operator()", "hidden2(int)::{lambda(int)#1}::operator()"},
    {"_ZN1r3net4once17hfb5a1813022c7700E", "_ZN1r3net4once17hfb5a1813022c7700E", "r::net::once", "r::net::once",
     "r::net::once", "r::net::once::hfb5a1813022c7700"},
    {"_ZN49_$LT$r..Acceptor$LT$T$GT$$u20$as$u20$r..Serve$GT$5serve17hc218b6a351599dd4E",
     "_ZN49_$LT$r..Acceptor$LT$T$GT$$u20$as$u20$r..Serve$GT$5serve17hc218b6a351599dd4E",
     "<r::Acceptor<T> as r::Serve>::serve", "<r::Acceptor<T> as r::Serve>::serve", "r::Acceptor::serve",
     "<r::Acceptor<T> as r::Serve>::serve::hc218b6a351599dd4"},
    {"_RINvNtCs6GmmlP4bgsG_1r3net4oncelEB4_", "_RINvNtCs6GmmlP4bgsG_1r3net4oncelEB4_", "r::net::once::<i32>",
     "r::net::once::<i32>", "r::net::once", "r[4dd80272b5a2d1fc]::net::once::<i32>"},
    {"_RNvMs7_NtNtCsjrHSEGnQ3l9_3std3net3tcpNtB5_11TcpListener6accept",
     "_RNvMs7_NtNtCsjrHSEGnQ3l9_3std3net3tcpNtB5_11TcpListener6accept", "<std::net::tcp::TcpListener>::accept",
     "<std::net::tcp::TcpListener>::accept", "std::net::tcp::TcpListener::accept",
     "<std[e28293b1aa0f68bd]::net::tcp::TcpListener>::accept"},
    {"_RNCNvXCs6GmmlP4bgsG_1rINtB4_8AcceptorhENtB4_5Serve5serve0B4_",
     "_RNCNvXCs6GmmlP4bgsG_1rINtB4_8AcceptorhENtB4_5Serve5serve0B4_",
     "<r::Acceptor<u8> as r::Serve>::serve::{closure#0}", "<r::Acceptor<u8> as r::Serve>::serve::{closure#0}",
     "r::Acceptor::serve::{closure#0}",
     "<r[4dd80272b5a2d1fc]::Acceptor<u8> as r[4dd80272b5a2d1fc]::Serve>::serve::{closure#0}"},
    {"_Znot_a_name", "_Znot_a_name", "", "", "", ""},
    {"_R", "_R", "", "", "", ""},
    {"", "", "", "", "", ""},
};

static void names_have_forms(void **state)
{
    (void)state;
    static struct name_forms forms;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        name_forms(&forms, names[i].symbol);
        assert_string_equal(forms.base, names[i].base);
        assert_string_equal(forms.full, names[i].full);
        assert_string_equal(forms.bare, names[i].bare);
        assert_string_equal(forms.plain, names[i].plain);
        assert_string_equal(forms.hashed, names[i].hashed);
    }
}

static void names_without_arguments(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"main", "main"},
        {"a<b<c>, d>::e", "a::e"},
        {"a::operator-><b>", "a::operator->"},
        {"my_operator<int>", "my_operator"},
        {"<<a::b>::bind::inner as c::FnMut<(&d,)>>::call_mut", "a::b::bind::inner::call_mut"},
        {"<", ""},
        {"a<b", "a"},
    };
    char out[NAME_MAX_BYTES];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_string_equal(name_plain(pairs[i][0], out), pairs[i][1]);
}

/* A name may be of any length; what is too long for a form is left out of it, or cut where it is shown. */
static void long_names_are_cut(void **state)
{
    (void)state;
    static struct name_forms forms;
    static char symbol[4 * NAME_MAX_BYTES], shown[NAME_MAX_BYTES];
    memset(symbol, 'x', sizeof symbol - 1);
    name_forms(&forms, symbol);
    assert_int_equal(strlen(forms.base), NAME_MAX_BYTES - 1);
    assert_int_equal(strlen(name_shown(symbol, shown)), NAME_MAX_BYTES - 1);
    char *at = symbol + sprintf(symbol, "_Z1f"); /* f(int, int, ...) is longer than its symbol */
    memset(at, 'i', NAME_MAX_BYTES / 3);
    at[NAME_MAX_BYTES / 3] = '\0';
    name_forms(&forms, symbol);
    assert_string_equal(forms.full, "");
    assert_string_equal(forms.bare, "f");
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* Whether any instruction of FUNCTION is at PLACES (COUNT of them, innermost first). */
static bool has_places(struct symbols *symbols, const struct function *function, const struct place *places,
                       size_t count)
{
    struct place found[PLACES_MAX];
    for (uint64_t at = function->from; at < function->to; at++) {
        bool same = symbols_places(symbols, at, found) == count;
        for (size_t i = 0; i < count && same; i++)
            same = found[i].function != NULL && strcmp(found[i].function, places[i].function) == 0 &&
                   found[i].inlined == places[i].inlined && found[i].line == places[i].line && found[i].file != NULL &&
                   strstr(found[i].file, "places.c") != NULL;
        if (same)
            return true;
    }
    return false;
}

static void lines_with_dwarf(const char *name)
{
    static const struct place inlined[] = {{.function = "place_inner", .inlined = true, .line = 102},
                                           {.function = "place_outer", .line = 303}};
    static const struct place plain[] = {{.function = "place_outer", .line = 302}};
    static const struct place wrong[] = {{.function = "place_outer", .line = 102}};
    static const struct place hidden[] = {{.function = "place_static", .line = 202}};
    struct symbols *symbols = module(name);
    const struct function *outer = function(symbols, "place_outer");
    assert_non_null(outer);
    assert_non_null(function(symbols, "place_static"));
    assert_true(has_places(symbols, outer, inlined, 2));
    assert_true(has_places(symbols, outer, plain, 1));
    assert_false(has_places(symbols, outer, wrong, 1));
    assert_true(has_places(symbols, function(symbols, "place_static"), hidden, 1));
    symbols_free(symbols);
}

static void lines_of_a_file(void **state)
{
    (void)state;
    lines_with_dwarf("places.so");
}

/* As clang and rustc leave it. */
static void lines_without_a_table_of_units(void **state)
{
    (void)state;
    lines_with_dwarf("places_unlisted.so");
}

static void lines_of_a_debug_file_beside_it(void **state)
{
    (void)state;
    lines_with_dwarf("places_split.so");
}

/* The server under test is to see the variable that libdw must not. */
static void environment_is_kept(void **state)
{
    (void)state;
    setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1/", 1);
    lines_with_dwarf("places_split.so");
    assert_string_equal(getenv("DEBUGINFOD_URLS"), "http://127.0.0.1:1/");
}

/* Without DWARF: names and nothing more.  An address between functions is in none. */
static void expect_names_alone(const char *name, bool hidden)
{
    struct place places[PLACES_MAX];
    struct symbols *symbols = module(name);
    const struct function *outer = function(symbols, "place_outer");
    assert_non_null(outer);
    assert_int_equal(symbols_places(symbols, outer->from + 3, places), 1);
    assert_string_equal(places[0].function, "place_outer"); /* and not its alias, __place_alias */
    assert_int_equal(places[0].into, 3);
    assert_null(places[0].file);
    assert_int_equal(function(symbols, "place_static") != NULL, hidden);
    assert_int_equal(symbols_places(symbols, 0, places), 1);
    assert_null(places[0].function);
    symbols_free(symbols);
}

static void names_of_a_stripped_file(void **state)
{
    (void)state;
    expect_names_alone("places_stripped.so", false);
}

static void names_out_of_minidebuginfo(void **state)
{
    (void)state;
    expect_names_alone("places_mini.so", true);
}

static void names_in_cpp(void **state)
{
    (void)state;
    struct place places[PLACES_MAX];
    struct symbols *symbols = module("places_cc.so");
    const struct function *run = function(symbols, "_ZN2ns8AcceptorIiE3runIlEET_iS3_");
    assert_non_null(run);
    assert_int_equal(symbols_places(symbols, run->from, places), 1);
    assert_string_equal(places[0].function, "ns::Acceptor<int>::run<long>");
    symbols_free(symbols);
}

static void build_ids(void **state)
{
    (void)state;
    const uint8_t *id, *other;
    struct symbols *whole = module("places.so"), *stripped = module("places_stripped.so"),
                   *none = module("places_cc.so");
    assert_int_equal(symbols_build_id(whole, &id), 20);
    assert_int_equal(symbols_build_id(stripped, &other), 20);
    assert_memory_equal(id, other, 20);
    assert_int_equal(symbols_build_id(none, &id), 0);
    symbols_free(whole);
    symbols_free(stripped);
    symbols_free(none);
}

static void what_is_no_module(void **state)
{
    (void)state;
    assert_null(symbols_open(open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
    assert_int_equal(errno, ENOEXEC);
    char path[] = "/tmp/snag-test.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "\177ELF\2\1\1", 7), 7);
    assert_null(symbols_open(fd, path));
    unlink(path);
}

/* --- Patterns ---------------------------------------------------------------------------------------------------- */

static bool names_it(const char *text, const char *symbol)
{
    struct pattern pattern;
    assert_int_equal(pattern_read(&pattern, text), 0);
    bool result = pattern_has_function(&pattern, symbol);
    pattern_clear(&pattern);
    return result;
}

static void patterns_name_functions(void **state)
{
    (void)state;
    static const char run[] = "_ZN2ns3AccIiE2goIiEET_iS3_.cold", rust[] = "_ZN1r3net4once17hfb5a1813022c7700E";
    static const char brackets[] = "_ZN3FooixEi"; /* Foo::operator[](int) */
    assert_true(names_it("accept", "accept"));
    assert_true(names_it("accept", "accept.cold"));
    assert_true(names_it("accept.cold", "accept.cold"));
    assert_false(names_it("accept", "accept4"));
    assert_false(names_it("accept", "xaccept"));
    assert_true(names_it("ngx_*_accept", "ngx_event_accept.part.0"));
    assert_true(names_it("worker_[ab]", "worker_a"));
    assert_false(names_it("worker_[ab]", "worker_c"));
    assert_true(names_it("ns::Acc<int>::go<int>(int, int)", run));
    assert_true(names_it("ns::Acc<int>::go<int>", run));
    assert_true(names_it("ns::Acc::go", run));
    assert_true(names_it("ns::*::go", run));
    assert_true(names_it("_ZN2ns3AccIiE2goIiEET_iS3_", run));
    assert_false(names_it("go", run));
    assert_true(names_it("r::net::once", rust));
    assert_true(names_it("r::net::once::hfb5a1813022c7700", rust));
    assert_true(names_it("std::net::tcp::TcpListener::accept",
                         "_RNvMs7_NtNtCsjrHSEGnQ3l9_3std3net3tcpNtB5_11TcpListener6accept"));
    assert_true(names_it("Foo::operator[]", brackets));
    assert_true(names_it("Foo::operator[](int)", brackets));
    assert_true(names_it("std::basic_str*::append*", "_ZNSs6appendEPKc")); /* std::string, as the ABI abbreviates it */
    assert_true(names_it("std::allocator<char>::allocator", "_ZNSaIcEC1Ev"));
    assert_true(names_it("*operator new*", "_Znwm"));
    assert_true(names_it("r::main::{closure*", "_RNCNvC1r4main0B3_"));
}

static bool looks_into(const char *text, const char *path)
{
    struct pattern pattern;
    assert_int_equal(pattern_read(&pattern, text), 0);
    bool result = pattern_has_module(&pattern, path);
    pattern_clear(&pattern);
    return result;
}

static void patterns_name_modules(void **state)
{
    (void)state;
    assert_true(looks_into("foo", "/usr/sbin/nginx"));
    assert_true(looks_into("foo@nginx", "/usr/sbin/nginx"));
    assert_true(looks_into("foo@libevent*", "/usr/lib/libevent-2.1.so.7"));
    assert_false(looks_into("foo@nginx", "/usr/sbin/nginx2"));
    assert_true(looks_into("foo@/usr/*/nginx", "/usr/sbin/nginx"));
    assert_false(looks_into("foo@/opt/nginx", "/usr/sbin/nginx"));
    assert_true(looks_into("0x12@[[]vdso]", "[vdso]"));
    assert_true(looks_into("0x12@[vdso]", "[vdso]"));
}

/* What a pattern found, as "from-to from-to", addresses relative to BASE. */
struct found {
    char text[200];
    uint64_t base;
    int room;
    uint64_t first, last;
};

static int note_range(void *context, uint64_t from, uint64_t to)
{
    struct found *found = context;
    size_t length = strlen(found->text);
    found->first = from;
    found->last = to;
    if (found->room-- == 0)
        return -1;
    snprintf(found->text + length, sizeof found->text - length, "%s%jx-%jx", length > 0 ? " " : "",
             (uintmax_t)(from - found->base), (uintmax_t)(to - found->base));
    return 0;
}

static int find_ranges(struct symbols *symbols, const char *text, struct found *found)
{
    struct pattern pattern;
    assert_int_equal(pattern_read(&pattern, text), 0);
    int result = pattern_ranges(&pattern, symbols, note_range, found);
    pattern_clear(&pattern);
    return result;
}

/* The offset that a shim compares is that behind the call: from + 1 up to and with to. */
static void patterns_find_ranges(void **state)
{
    (void)state;
    char want[200];
    struct symbols *symbols = module("places.so");
    const struct function *outer = function(symbols, "place_outer"), *last = function(symbols, "place_extern");
    struct found one = {.room = 9, .base = outer->from}, both = one, all = {.room = 9}, offset = all, none = all,
                 inner = all;
    assert_int_equal(find_ranges(symbols, "place_outer", &one), 1);
    snprintf(want, sizeof want, "1-%jx", (uintmax_t)(outer->to - outer->from + 1));
    assert_string_equal(one.text, want);
    assert_int_equal(find_ranges(symbols, "place_[oe]*", &both), 1); /* neighbours */
    snprintf(want, sizeof want, "1-%jx", (uintmax_t)(last->to - outer->from + 1));
    assert_string_equal(both.text, want);
    assert_int_equal(find_ranges(symbols, "*", &all), 1);
    assert_string_equal(all.text, "0-ffffffffffffffff");
    assert_int_equal(find_ranges(NULL, "0x1f0@places.so", &offset), 1);
    assert_string_equal(offset.text, "1f0-1f1");
    assert_int_equal(find_ranges(symbols, "place", &none), 0);
    assert_true(find_ranges(symbols, "place_inner", &inner) >= 1);
    assert_true(inner.first > outer->from && inner.last <= outer->to && inner.last > inner.first);
    assert_true(find_ranges(symbols, "*_inner", &inner) >= 1);
    assert_int_equal(find_ranges(NULL, "place_outer", &none), 0);
    none.room = 0;
    assert_int_equal(find_ranges(symbols, "place_outer", &none), -1);
    symbols_free(symbols);
}

static void patterns_suggest_names(void **state)
{
    (void)state;
    char best[NAME_MAX_BYTES] = "";
    struct pattern pattern;
    struct symbols *symbols = module("places_cc.so");
    assert_int_equal(pattern_read(&pattern, "ns::Aceptor::run"), 0);
    struct nearest nearest = nearest_to(pattern.name, strlen(pattern.name));
    pattern_offer(&pattern, symbols, &nearest, best, sizeof best);
    assert_string_equal(best, "ns::Acceptor::run");
    pattern_clear(&pattern);
    symbols_free(symbols);
}

TEST_MAIN(TEST(names_have_forms), TEST(names_without_arguments), TEST(long_names_are_cut), TEST(lines_of_a_file),
          TEST(lines_without_a_table_of_units), TEST(lines_of_a_debug_file_beside_it), TEST(environment_is_kept),
          TEST(names_of_a_stripped_file), TEST(names_out_of_minidebuginfo), TEST(names_in_cpp), TEST(build_ids),
          TEST(what_is_no_module), TEST(patterns_name_functions), TEST(patterns_name_modules),
          TEST(patterns_find_ranges), TEST(patterns_suggest_names))
