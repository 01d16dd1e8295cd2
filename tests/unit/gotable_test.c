/* Go's table of functions: read as Go's linker writes it, and safe on any other bytes. */

#include <stdlib.h>
#include <string.h>

#include "sites/gotable.h"
#include "tests/unit/harness.h"

enum { NAMES = 72, STEPS = 112, FUNCTIONS = 128, FIRST = 28, SECOND = 72, SIZE = FUNCTIONS + 128 };

struct image {
    _Alignas(8) unsigned char bytes[SIZE];
};

static void put32(struct image *image, size_t at, uint32_t value)
{
    memcpy(image->bytes + at, &value, sizeof value);
}

static void put64(struct image *image, size_t at, uint64_t value)
{
    memcpy(image->bytes + at, &value, sizeof value);
}

/* A description: the name's place, that of the steps of the stack pointer, and flags. */
static void put_function(struct image *image, size_t at, uint32_t name, uint32_t steps, unsigned char flags)
{
    put32(image, FUNCTIONS + at + 4, name);
    put32(image, FUNCTIONS + at + 16, steps);
    image->bytes[FUNCTIONS + at + 37] = flags;
}

/* main.main at 0x1000, 0x20 bytes, with a frame of 0x18 from its fourth byte on; runtime.goexit at 0x1020, 0x10 bytes. */
static struct image make(void)
{
    struct image image = {.bytes = {0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8}};
    static const unsigned char steps[] = {0, 2, 4, 0x30, 0x1c, 0};
    put64(&image, 8, 2);
    put64(&image, 24, 0x1000);
    put64(&image, 32, NAMES);
    put64(&image, 56, STEPS);
    put64(&image, 64, FUNCTIONS);
    memcpy(image.bytes + NAMES, "\0main.main\0runtime.goexit", 26);
    memcpy(image.bytes + STEPS, steps, sizeof steps);
    put32(&image, FUNCTIONS, 0);
    put32(&image, FUNCTIONS + 4, FIRST);
    put32(&image, FUNCTIONS + 8, 0x20);
    put32(&image, FUNCTIONS + 12, SECOND);
    put32(&image, FUNCTIONS + 16, 0x30);
    put_function(&image, FIRST, 1, 1, 0);
    put_function(&image, SECOND, 11, 1, 1);
    return image;
}

static void functions(void **state)
{
    struct image image = make();
    struct gotable table;
    struct gofunction function;
    uint64_t depth = 0;
    (void)state;
    assert_true(gotable_open(&table, image.bytes, sizeof image.bytes));
    assert_int_equal(table.count, 2);
    assert_true(gotable_find(&table, 0x101f, &function));
    assert_string_equal(function.name, "main.main");
    assert_int_equal(function.from, 0x1000);
    assert_int_equal(function.to, 0x1020);
    assert_int_equal(gotable_way(&table, &function, 0x1003, &depth), GO_STEPS);
    assert_int_equal(depth, 0);
    assert_int_equal(gotable_way(&table, &function, 0x1004, &depth), GO_STEPS);
    assert_int_equal(depth, 0x18);
    assert_true(gotable_find(&table, 0x1020, &function));
    assert_string_equal(function.name, "runtime.goexit");
    assert_int_equal(gotable_way(&table, &function, 0x1021, &depth), GO_ENDS);
    assert_false(gotable_find(&table, 0xfff, &function));
    assert_false(gotable_find(&table, 0x1030, &function));
}

static void a_function_that_changes_stacks(void **state)
{
    struct image image = make();
    struct gotable table;
    struct gofunction function;
    uint64_t depth;
    (void)state;
    image.bytes[FUNCTIONS + FIRST + 37] = 2;
    assert_true(gotable_open(&table, image.bytes, sizeof image.bytes));
    assert_true(gotable_find(&table, 0x1000, &function));
    assert_int_equal(gotable_way(&table, &function, 0x1010, &depth), GO_UNSAFE);
}

static void other_formats(void **state)
{
    struct image image = make();
    struct gotable table;
    (void)state;
    image.bytes[0] = 0xfa; /* Go 1.16 */
    assert_false(gotable_open(&table, image.bytes, sizeof image.bytes));
    image.bytes[0] = 0xf0;
    image.bytes[7] = 4; /* 32 bits */
    assert_false(gotable_open(&table, image.bytes, sizeof image.bytes));
    assert_false(gotable_open(&table, image.bytes, 71));
}

static void use(const unsigned char *bytes, size_t size)
{
    struct gotable table;
    struct gofunction function;
    uint64_t depth;
    if (!gotable_open(&table, bytes, size))
        return;
    for (uint64_t i = 0; i < table.count && i < 8; i++)
        if (gotable_function(&table, i, &function)) {
            assert_true(strlen(function.name) < size);
            gotable_way(&table, &function, function.from, &depth);
        }
    gotable_find(&table, 0x1010, &function);
}

/* Each part of it, on its own memory, and with each byte changed. */
static void damaged(void **state)
{
    struct image image = make();
    (void)state;
    for (size_t size = 0; size <= SIZE; size++) {
        unsigned char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, image.bytes, size);
        use(copy, size);
        free(copy);
    }
    for (size_t at = 0; at < SIZE; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            image.bytes[at] ^= (unsigned char)(1 << bit);
            use(image.bytes, SIZE);
            image.bytes[at] ^= (unsigned char)(1 << bit);
        }
}

TEST_MAIN(TEST(functions), TEST(a_function_that_changes_stacks), TEST(other_formats), TEST(damaged))
