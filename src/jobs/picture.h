/* A picture's file and what it says of its job, so that the history can be made anew from the files. */
#ifndef MEBI_JOBS_PICTURE_H
#define MEBI_JOBS_PICTURE_H

#include "jobs/jobs.h"

/* Saves a job's picture below folder/images with the texts of `mebi generate` and "mebi-job", and its thumbnail. *out is
 * what its row will be, freed as an mebi__images of one; file (80 bytes): below images/. A file of this name without a
 * row is replaced. On failure nothing stays. */
MEBI_MUST_USE mebi_status mebi__picture_save(const char *folder, const mebi__job *job, int index,
                                             int64_t seed, const mebi_image *image,
                                             const char *model, const char *model_hash,
                                             mebi__images *out, char file[80], mebi_error *err);

/* Removes both again, as far as they are there. */
void mebi__picture_unsave(const char *folder, const char *id, const char *file);

/* What a file says of itself. *request (its strings lie in out->image) and *count, the job's, are set from its texts.
 * MEBI_BAD_FILE: it is not whole, or not of a job. `whole`: 1: all pixels are read, too; 0: only its ends. */
MEBI_MUST_USE mebi_status mebi__picture_read(const char *path, int whole, mebi__images *out,
                                             mebi_request *request, mebi_error *err);

/* id as of a job's picture. */
void mebi__picture_id(const char *job, int index, char out[MEBI__IMAGE_ID]);

#endif
