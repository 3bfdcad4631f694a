/* Plans, requests, jobs and pictures as the API shows them. All return a new reference; NULL: out
 * of memory. */
#ifndef MEBI_SERVER_VIEW_H
#define MEBI_SERVER_VIEW_H

#include "jobs/jobs.h"

#include <jansson.h>

json_t *mebi__view_request(const mebi_request *request);
json_t *mebi__view_plan(const mebi_plan *plan, const mebi_request *request);
json_t *mebi__view_progress(const mebi__job_progress *progress);
json_t *mebi__view_job(const mebi__job *job);
json_t *mebi__view_image(const mebi__image *image);
json_t *mebi__view_queue(const mebi__queue *queue);
/* null for what is negative or no number. */
json_t *mebi__view_seconds(double seconds);
json_t *mebi__view_moment(int64_t ms); /* since 1970; 0: null */
/* A float as it was written: 3.5, not 3.5000000001. */
json_t *mebi__view_number(float number);

#endif
