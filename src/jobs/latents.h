/* work/JOB.latents: what a running job has after its last saved step. */
#ifndef MEBI_JOBS_LATENTS_H
#define MEBI_JOBS_LATENTS_H

#include "mebi/engine.h"

/* index and seed in *latents: of the whole job. Takes the place of an older file in one moment, after the disk has it. */
MEBI_MUST_USE mebi_status mebi__latents_save(const char *path, const char *job,
                                             const char *model_hash, const mebi_latents *latents,
                                             mebi_error *err);

/* Reads those of the pictures from `first` on. 0: there is no such file, it is of another job or model, harmed, or has
 * only earlier pictures. 1: *latents is set, its values lie in *block, freed with mebi__free. */
int mebi__latents_load(const char *path, const char *job, const char *model_hash, int first,
                       mebi_latents *latents, char **block);

#endif
