/* shim_site_test.c - call sites: who made a call, as the shim finds out in a process. */
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim_case.h"

/* The calls that are recorded get their sites. */
static void with_sites(struct session_board *session)
{
    session->board->sites = 1;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (session->board->wanted[call] & WANT_RECORD)
            session->board->wanted[call] |= WANT_SITE;
}

#define SITE_TEST(name, ...) SHIM_TEST(name, .record = RECORD(accept), .arrange = with_sites, __VA_ARGS__)

__attribute__((noinline)) static int accept_at(int depth)
{
    int ret = depth ? accept_at(depth - 1) : accept(-1, NULL, NULL);
    __asm__ volatile("" ::: "memory");
    return ret;
}

/* The site of the record number I of accept. */
static uint64_t site(size_t i)
{
    return shim_find(EVENT_CALL, CALL_accept, i)->event.site;
}

static void check_depths(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 4);
    assert_int_not_equal(site(0), 0);
    assert_int_equal(site(0), site(1));
    assert_int_equal(site(1), site(2));
    assert_int_not_equal(site(2), site(3));
    assert_int_equal(session->board->unwalked, 0);
}

SITE_TEST(a_site_is_a_stack, .check = check_depths)
{
    volatile int calls = 3;
    for (int i = 0; i < calls; i++)
        accept_at(4);
    accept_at(5);
}

SHIM_MAIN(TEST(a_site_is_a_stack))
