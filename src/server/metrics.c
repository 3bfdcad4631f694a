/* Figures for Prometheus, in its text form. Must never have a label that a client can choose. */
#include "base/memory.h"
#include "base/os.h"
#include "mebi/mebi.h"
#include "server/api.h"
#include "server/hub.h"
#include "server/moment.h"
#include "server/plans.h"
#include "server/server.h"
#include "server/vitals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void head(FILE *f, const char *name, const char *kind, const char *help) {
    fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void one(FILE *f, const char *name, const char *kind, const char *help, double value) {
    head(f, name, kind, help);
    fprintf(f, "%s %.15g\n", name, value);
}

static void write_jobs(FILE *f, const mebi__jobs_counters *n) {
    head(f, "mebi_jobs", "gauge", "Jobs in the data folder, by state.");
    for (int i = 0; i < MEBI__JOB_STATES; i++)
        fprintf(f, "mebi_jobs{state=\"%s\"} %" PRId64 "\n",
                mebi__job_state_name((mebi__job_state)i), n->jobs[i]);
    head(f, "mebi_jobs_finished_total", "counter", "Jobs ended since the start, by how.");
    for (int i = MEBI__JOB_DONE; i < MEBI__JOB_STATES; i++)
        fprintf(f, "mebi_jobs_finished_total{state=\"%s\"} %" PRId64 "\n",
                mebi__job_state_name((mebi__job_state)i), n->finished[i]);
    head(f, "mebi_jobs_refused_total", "counter", "Orders refused since the start, by reason.");
    for (int i = MEBI__REFUSED_NOT + 1; i < MEBI__REFUSALS; i++)
        fprintf(f, "mebi_jobs_refused_total{reason=\"%s\"} %" PRId64 "\n",
                mebi__job_refusal_name((mebi__job_refusal)i), n->refused[i]);
    one(f, "mebi_jobs_accepted_total", "counter", "Orders taken since the start.",
        (double)n->accepted);
    one(f, "mebi_jobs_taken_up_total", "counter", "Jobs continued after a restart.",
        (double)n->taken_up);
    one(f, "mebi_images", "gauge", "Pictures in the data folder.", (double)n->images);
    one(f, "mebi_images_made_total", "counter", "Pictures made since the start.",
        (double)n->images_made);
    head(f, "mebi_stage_seconds_total", "counter", "Seconds worked since the start, by stage.");
    for (int i = 0; i < MEBI_STAGE_COUNT; i++)
        fprintf(f, "mebi_stage_seconds_total{stage=\"%s\"} %.6f\n", mebi_stage_name((mebi_stage)i),
                n->seconds[i]);
    one(f, "mebi_last_job_predicted_bytes", "gauge",
        "Memory planned for the last job that was done.", (double)n->predicted_bytes);
    one(f, "mebi_last_job_measured_bytes", "gauge", "Memory it took.", (double)n->measured_bytes);
    one(f, "mebi_last_job_predicted_seconds", "gauge", "Seconds planned for it.",
        n->predicted_seconds);
    one(f, "mebi_last_job_measured_seconds", "gauge", "Seconds it took.", n->measured_seconds);
}

static void write_http(FILE *f, mebi__server *server) {
    mebi__http_counts h = mebi__http_count(mebi__server_http(server));
    mebi__plans_counts p = mebi__plans_count(mebi__server_plans(server));
    one(f, "mebi_http_connections", "gauge", "Open connections.", h.connections);
    one(f, "mebi_http_event_streams", "gauge", "Open event streams.",
        mebi__hub_listeners(mebi__server_hub(server)));
    one(f, "mebi_http_requests_total", "counter", "Requests begun.", (double)h.requests);
    one(f, "mebi_http_received_bytes_total", "counter", "Bytes of bodies received.",
        (double)h.bytes_in);
    head(f, "mebi_http_answers_total", "counter", "Requests answered, by class of status.");
    for (int i = 2; i < 6; i++)
        fprintf(f, "mebi_http_answers_total{class=\"%dxx\"} %" PRIu64 "\n", i, h.by_class[i]);
    one(f, "mebi_plans_total", "counter", "Plans asked for over HTTP.", (double)p.asked);
    one(f, "mebi_plans_remembered_total", "counter", "Of these, answered from memory.",
        (double)p.remembered);
    one(f, "mebi_plans_seconds_total", "counter", "Seconds spent in making the others.", p.seconds);
}

static void write_process(FILE *f, mebi__server *server) {
    mebi__queue q = mebi__jobs_queue(mebi__server_jobs(server));
    mebi__sample newest = mebi__vitals_newest(mebi__server_vitals(server));
    size_t available = mebi__memory_available();
    head(f, "mebi_info", "gauge", "The program's version.");
    fprintf(f, "mebi_info{version=\"%s\"} 1\n", mebi_version());
    one(f, "mebi_ready", "gauge", "1: pictures can be made.",
        mebi__jobs_health(mebi__server_jobs(server), NULL, NULL) == MEBI__JOBS_READY);
    one(f, "mebi_uptime_seconds", "gauge", "Seconds since the start.",
        mebi__server_uptime(server));
    one(f, "mebi_queue_length", "gauge", "Jobs that wait.", q.queued);
    one(f, "mebi_queue_limit", "gauge", "Jobs that may wait.", q.limit);
    one(f, "mebi_queue_seconds", "gauge", "Seconds until all are done, by plan.",
        q.seconds_left > 0 ? q.seconds_left : 0);
    one(f, "mebi_memory_own_bytes", "gauge", "The process's own memory.", (double)newest.own_bytes);
    one(f, "mebi_memory_planned_bytes", "gauge", "What the running job was planned with.",
        (double)q.planned_bytes);
    if (available != SIZE_MAX)
        one(f, "mebi_memory_available_bytes", "gauge", "What the system has free.",
            (double)available);
}

void mebi__api_metrics(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__jobs_counters n = {0};
    mebi_error err = {0};
    char *text = NULL;
    size_t bytes = 0;
    (void)q;
    mebi_status status = mebi__jobs_count(mebi__server_jobs(server), &n, &err);
    FILE *f = status == MEBI_OK ? open_memstream(&text, &bytes) : NULL;
    if (f) {
        write_process(f, server);
        write_jobs(f, &n);
        write_http(f, server);
    }
    if (f && fclose(f) == 0)
        mebi__answer_owned(a, 200, "text/plain; version=0.0.4; charset=utf-8", text, bytes, free);
    else {
        free(text);
        mebi__answer_failure(a, status == MEBI_OK ? MEBI_NO_MEMORY : status, &err);
    }
}
