/*
 * unwinder.h - what both that walk stacks by libunwind, the shim in its process and snag from outside, tell it alike: how the
 * table of a file's functions is written, and what we have no answer to.  x86-64, and for one source file of each of them.
 */
#ifndef SNAG_UNWINDER_H
#define SNAG_UNWINDER_H

#include <libunwind.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The table in .eh_frame_hdr: a head of four bytes that say how the rest is written, two numbers, pairs of offsets. */
struct table_head {
    uint8_t version, frames_encoding, count_encoding, table_encoding;
    int32_t frames;
    uint32_t count;
};

/* All linkers write it so: pointer to .eh_frame relative, count as it is, the table relative to the head. */
static inline bool is_usual(const struct table_head *head)
{
    return head->version == 1 && head->frames_encoding == 0x1b && head->count_encoding == 0x03 &&
           head->table_encoding == 0x3b;
}

/* --- What libunwind may ask (unw_create_addr_space(3)), and a walk along return addresses needs no answer to. */

static inline int access_fpreg(unw_addr_space_t asked, unw_regnum_t number, unw_fpreg_t *value, int write, void *data)
{
    (void)asked;
    (void)number;
    (void)value;
    (void)write;
    (void)data;
    return -UNW_EBADREG;
}

static inline void put_unwind_info(unw_addr_space_t asked, unw_proc_info_t *info, void *data)
{
    (void)asked;
    (void)info;
    (void)data;
}

static inline int get_dyn_info_list_addr(unw_addr_space_t asked, unw_word_t *address, void *data)
{
    (void)asked;
    (void)address;
    (void)data;
    return -UNW_ENOINFO;
}

static inline int resume(unw_addr_space_t asked, unw_cursor_t *cursor, void *data)
{
    (void)asked;
    (void)cursor;
    (void)data;
    return -UNW_EINVAL;
}

static inline int get_proc_name(unw_addr_space_t asked, unw_word_t ip, char *name, size_t size, unw_word_t *offset,
                                void *data)
{
    (void)asked;
    (void)ip;
    (void)name;
    (void)size;
    (void)offset;
    (void)data;
    return -UNW_ENOINFO;
}

#endif
