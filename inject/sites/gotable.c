#include "sites/gotable.h"

#include <string.h>

enum {
    HEAD = 72,        /* bytes */
    MAGIC_118 = 0xf0, /* the lowest byte; the others are 0xff */
    MAGIC_120 = 0xf1,
    FLAG_TOP = 1 << 0, /* no function calls it */
    FLAG_SP = 1 << 1,  /* it writes the stack pointer */
};

static bool read_u32(const struct gotable *table, uint64_t at, uint32_t *out)
{
    if (at > table->size || table->size - at < sizeof *out)
        return false;
    memcpy(out, table->bytes + at, sizeof *out);
    return true;
}

static uint64_t head_word(const struct gotable *table, size_t i)
{
    uint64_t word;
    memcpy(&word, table->bytes + 8 + 8 * i, sizeof word);
    return word;
}

bool gotable_open(struct gotable *out, const unsigned char *bytes, size_t size)
{
    static const unsigned char others[] = {0xff, 0xff, 0xff, 0, 0, 1, 8}; /* pad, quantum of code, size of a pointer */
    *out = (struct gotable){.bytes = bytes, .size = size};
    if (size < HEAD || (bytes[0] != MAGIC_118 && bytes[0] != MAGIC_120) ||
        memcmp(bytes + 1, others, sizeof others) != 0)
        return false;
    out->newer = bytes[0] == MAGIC_120;
    out->count = head_word(out, 0);
    out->text = head_word(out, 2);
    out->names = head_word(out, 3);
    out->steps = head_word(out, 6);
    out->functions = head_word(out, 7);
    return out->functions < size && out->names < size && out->steps < size && out->count < (size - out->functions) / 8;
}

bool gotable_function(const struct gotable *table, uint64_t index, struct gofunction *out)
{
    uint32_t from, to, at, name;
    uint64_t pair = table->functions + 8 * index;
    if (index >= table->count || !read_u32(table, pair, &from) || !read_u32(table, pair + 4, &at) ||
        !read_u32(table, pair + 8, &to) || !read_u32(table, table->functions + at + 4, &name) || to < from)
        return false;
    uint64_t text = table->names + name;
    if (text >= table->size || memchr(table->bytes + text, '\0', table->size - text) == NULL)
        return false;
    *out = (struct gofunction){.name = (const char *)table->bytes + text,
                               .from = table->text + from,
                               .to = table->text + to,
                               .entry = table->functions + at};
    return true;
}

bool gotable_find(const struct gotable *table, uint64_t address, struct gofunction *out)
{
    uint64_t low = 0, high = table->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (!gotable_function(table, middle, out))
            return false;
        if (address < out->from)
            high = middle;
        else if (address >= out->to)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

/* Reads a number of seven bits a byte at *AT. */
static bool read_number(const struct gotable *table, uint64_t *at, uint32_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 35 && *at < table->size; shift += 7) {
        unsigned char byte = table->bytes[(*at)++];
        *out |= (uint32_t)(byte & 0x7f) << (shift & 31);
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The value at ADDRESS in a list of steps: how much it changes, and for how many bytes of code the new one holds. */
static bool find_step(const struct gotable *table, uint64_t at, uint64_t from, uint64_t address, int64_t *out)
{
    int64_t value = -1;
    uint64_t pc = from;
    uint32_t change, bytes;
    for (bool first = true; read_number(table, &at, &change) && (change != 0 || first); first = false) {
        if (!read_number(table, &at, &bytes))
            return false;
        value += change & 1 ? -(int64_t)(change >> 1) - 1 : (int64_t)(change >> 1);
        pc += bytes;
        if (address < pc) {
            *out = value;
            return true;
        }
    }
    return false;
}

enum gotable_way gotable_way(const struct gotable *table, const struct gofunction *function, uint64_t address,
                             uint64_t *depth)
{
    uint32_t steps, flags;
    int64_t value;
    if (!read_u32(table, function->entry + 16, &steps) ||
        !read_u32(table, function->entry + (table->newer ? 40 : 36), &flags))
        return GO_UNSAFE;
    flags = flags >> 8 & 0xff;
    if (flags & FLAG_TOP)
        return GO_ENDS;
    if ((flags & FLAG_SP) || steps == 0 || !find_step(table, table->steps + steps, function->from, address, &value) ||
        value < 0)
        return GO_UNSAFE;
    *depth = (uint64_t)value;
    return GO_STEPS;
}
