/* Bytes of mapped files, brought into memory ahead of use by a thread of its own, and let go after.
 *
 *     mebi__prefetch_ask(p, next, count);
 *     work_with(now);
 *     mebi__ranges_rest(now, count);
 *     mebi__prefetch_wait(p); // next is there
 *
 * None of this changes what a read finds, only how long it takes. */
#ifndef MEBI_BASE_PREFETCH_H
#define MEBI_BASE_PREFETCH_H

#include "base/error.h"

#include <stddef.h>

/* Inside a mapping of a file; at is where a page begins. */
typedef struct mebi__range {
    const unsigned char *at;
    size_t bytes;
} mebi__range;

/* The smallest range of whole pages that holds some bytes. */
mebi__range mebi__range_of_pages(const void *at, size_t bytes);

/* The pages may go until they are read again, and are the first that the system takes when memory is
 * short: they no longer count as resident. Never of memory that was written to: it would be zeros. */
void mebi__ranges_rest(const mebi__range *range, int count);

/* About how many of their bytes would have to be read from the disk: a sample of pages is looked at. 0 where the system
 * doesn't tell. */
size_t mebi__ranges_cold(const mebi__range *range, int count);

typedef struct mebi__prefetch mebi__prefetch;

MEBI_MUST_USE mebi_status mebi__prefetch_create(mebi__prefetch **out, mebi_error *err);
/* Accepts NULL, nulls. */
void mebi__prefetch_destroy(mebi__prefetch **prefetch);

/* Asks for ranges, which must stay until they have arrived or were dropped. Waits for what was asked
 * before. These are called by one thread at a time. */
void mebi__prefetch_ask(mebi__prefetch *p, const mebi__range *range, int count);
/* All that was asked for has arrived, or can't. */
void mebi__prefetch_wait(mebi__prefetch *p);
/* Bytes that arrived since the last call, and the seconds that took; 0 and 0 where the system doesn't tell when
 * pages are there. Nothing may be under way. */
void mebi__prefetch_tally(mebi__prefetch *p, double *bytes, double *seconds);
/* What has not arrived yet is not wanted any more: afterwards the ranges may be unmapped. */
void mebi__prefetch_drop(mebi__prefetch *p);

#endif
