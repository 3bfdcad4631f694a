/* One conversion: what its files share. */
#ifndef MEBI_CONVERT_JOB_H
#define MEBI_CONVERT_JOB_H

#include "base/pool.h"
#include "base/writer.h"
#include "convert/header.h"

typedef struct mebi__convert_job {
    const mebi_convert_callbacks *callbacks; /* never NULL */
    mebi_convert_type type;
    mebi__pool *pool;
    mebi_convert_report report;
    double since;
    double done, total; /* elements */
} mebi__convert_job;

/* A file that is to be made; tensors are open. */
typedef struct mebi__convert_file {
    mebi__target target;
    const mebi__tensors *tensors;
    mebi__about about;
    const char *path;
} mebi__convert_file;

MEBI_MUST_USE mebi_status mebi__convert_write(mebi__convert_job *job,
                                              const mebi__convert_file *file, mebi_error *err);

/* MEBI_CANCELLED if the caller wants to stop. */
MEBI_MUST_USE mebi_status mebi__convert_go_on(const mebi__convert_job *job, mebi_error *err);

/* Copies a file, or all files of a folder (not those of folders in it), to a new place. */
MEBI_MUST_USE mebi_status mebi__convert_copy(const mebi__convert_job *job, const char *from,
                                             const char *to, mebi_error *err);
/* Removes a folder that this conversion has made, and all in it. */
void mebi__convert_remove(const char *folder);

#endif
