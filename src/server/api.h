/* The handlers of all addresses but the event streams (hub.h). */
#ifndef MEBI_SERVER_API_H
#define MEBI_SERVER_API_H

#include "jobs/jobs.h"
#include "server/answer.h"
#include "server/http.h"

#define HANDLER(name)                                                                              \
    void mebi__api_##name(mebi__server *server, const mebi__http_request *request,                 \
                          mebi__http_answer *answer)

HANDLER(health);
HANDLER(metrics);
HANDLER(system);
HANDLER(memory);
HANDLER(plan);
HANDLER(plans);
HANDLER(submit);
HANDLER(jobs);
HANDLER(job);
HANDLER(cancel);
HANDLER(preview);
HANDLER(images);
HANDLER(image);
HANDLER(image_file);
HANDLER(image_thumbnail);
HANDLER(image_change);
HANDLER(image_delete);
HANDLER(image_restore);
HANDLER(zip);
HANDLER(png_info);
HANDLER(settings);
HANDLER(settings_change);
HANDLER(checks);
HANDLER(check_start);
HANDLER(check);
HANDLER(check_html);
HANDLER(session);
HANDLER(login);
HANDLER(logout);
HANDLER(openapi);
HANDLER(page);
HANDLER(asset);
/* OpenAI's API. */
HANDLER(openai_images);
HANDLER(openai_models);
HANDLER(openai_model);
/* AUTOMATIC1111's. */
HANDLER(sdapi_txt2img);
HANDLER(sdapi_progress);
HANDLER(sdapi_interrupt);
HANDLER(sdapi_skip);
HANDLER(sdapi_options);
HANDLER(sdapi_options_change);
HANDLER(sdapi_models);
HANDLER(sdapi_samplers);
HANDLER(sdapi_schedulers);
HANDLER(sdapi_list);
HANDLER(sdapi_embeddings);
HANDLER(sdapi_scripts);
HANDLER(sdapi_flags);
HANDLER(sdapi_memory);
HANDLER(sdapi_png_info);

#undef HANDLER

/* What an order that was refused is answered with. */
void mebi__api_refused(mebi__http_answer *answer, const mebi__job_refused *refused,
                       const mebi_request *request, mebi_status status, const mebi_error *err);

#endif
