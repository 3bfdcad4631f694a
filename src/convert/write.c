/* One new file: rows are read, encoded by all threads, and written, a batch after the other. Must
 * never let a value that is not finite pass: quantized, it would be one that looks right. */
#include "base/memory.h"
#include "convert/job.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { TASK_ELEMENTS = 1 << 16, BATCH_TASKS = 32 };

typedef struct writing {
    mebi__convert_job *job;
    const mebi__output *output;
    mebi__writer writer;
    uint64_t written;
    float *values;        /* of each thread: scratch */
    size_t thread_values; /* elements of it */
    unsigned char *batch;
    float *scales;                 /* of the rows of the last I8 tensor */
    int64_t first, end, task_rows; /* the batch's rows */
    _Atomic int not_finite;
} writing;

static int64_t row_length(const mebi__output *o) {
    return o->shape.dim[o->shape.rank - 1];
}

static int64_t row_count(const mebi__output *o) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < o->shape.rank; i++) rows *= o->shape.dim[i];
    return rows;
}

static int64_t task_rows(const mebi__output *o) {
    int64_t rows = TASK_ELEMENTS / row_length(o);
    return rows > 0 ? rows : 1;
}

static int is_finite_row(const float *row, int64_t k) {
    int bad = 0;
    for (int64_t i = 0; i < k; i++) {
        uint32_t bits;
        memcpy(&bits, &row[i], sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

static void encode_task(void *context, int task, int thread) {
    writing *w = context;
    const mebi__output *o = w->output;
    int64_t k = row_length(o), each = row_count(o) / o->sources;
    int64_t from = w->first + task * w->task_rows, to = from + w->task_rows;
    float *row = w->values + (size_t)thread * w->thread_values;
    size_t bytes = mebi__encoding_row_bytes(o->encoding, k);
    if (to > w->end) to = w->end;
    for (int64_t r = from; r < to; r++) {
        float unused, *scale = o->encoding == MEBI__AS_I8 ? &w->scales[r] : &unused;
        int read = mebi__tensor_rows(o->source[r / each], r % each, 1, row);
        if (read && is_finite_row(row, k))
            mebi__encode_row(o->encoding, row, k, w->batch + (size_t)(r - w->first) * bytes, scale);
        else atomic_store(&w->not_finite, 1);
    }
}

mebi_status mebi__convert_go_on(const mebi__convert_job *job, mebi_error *err) {
    const mebi_convert_callbacks *c = job->callbacks;
    if (c->cancelled && c->cancelled(c->context))
        return mebi__fail(err, MEBI_CANCELLED, "Cancelled; nothing was kept.");
    return MEBI_OK;
}

static void tell(const writing *w) {
    const mebi__convert_job *job = w->job;
    if (!job->callbacks->progress) return;
    mebi_convert_progress p = {.tensor = w->output->name,
                               .fraction = job->total > 0 ? job->done / job->total : 1,
                               .seconds = mebi__now_seconds() - job->since,
                               .seconds_left = -1};
    if (p.fraction > 0.01) p.seconds_left = p.seconds / p.fraction * (1 - p.fraction);
    job->callbacks->progress(job->callbacks->context, &p);
}

static mebi_status append(writing *w, const void *data, size_t bytes, mebi_error *err) {
    w->written += bytes;
    return mebi__writer_append(&w->writer, data, bytes, err);
}

/* Zeros up to a place in the file. */
static mebi_status pad_to(writing *w, uint64_t place, mebi_error *err) {
    static const unsigned char zeros[64];
    while (w->written < place) {
        uint64_t left = place - w->written;
        MEBI_TRY(append(w, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros, err));
    }
    return MEBI_OK;
}

static mebi_status write_rows(writing *w, mebi_error *err) {
    const mebi__output *o = w->output;
    int64_t rows = row_count(o), k = row_length(o);
    size_t bytes = mebi__encoding_row_bytes(o->encoding, k);
    w->task_rows = task_rows(o);
    for (w->first = 0; w->first < rows; w->first = w->end) {
        w->end = w->first + BATCH_TASKS * w->task_rows;
        if (w->end > rows) w->end = rows;
        int64_t count = w->end - w->first;
        mebi__pool_run(w->job->pool, (int)((count + w->task_rows - 1) / w->task_rows), encode_task,
                       w);
        if (atomic_load(&w->not_finite))
            return mebi__fail(
                err, MEBI_BAD_FILE,
                "The tensor %s holds a value that is not finite (rows %lld to %lld of "
                "the new file's): the file is damaged.",
                o->name, (long long)w->first, (long long)w->end - 1);
        MEBI_TRY(append(w, w->batch, (size_t)count * bytes, err));
        w->job->done += (double)count * (double)k;
        tell(w);
        MEBI_TRY(mebi__convert_go_on(w->job, err));
    }
    return MEBI_OK;
}

static mebi_status take_memory(writing *w, const mebi__outputs *outputs, mebi_error *err) {
    size_t batch = 0, scales = 1;
    w->thread_values = 1;
    for (int i = 0; i < outputs->count; i++) {
        const mebi__output *o = &outputs->at[i];
        size_t k = (size_t)row_length(o), rows = (size_t)row_count(o);
        size_t at_once = (size_t)task_rows(o) * BATCH_TASKS;
        size_t bytes = mebi__encoding_row_bytes(o->encoding, (int64_t)k);
        if (at_once > rows) at_once = rows;
        if (k > w->thread_values) w->thread_values = k;
        if (at_once * bytes > batch) batch = at_once * bytes;
        if (o->encoding == MEBI__AS_I8 && rows > scales) scales = rows;
    }
    w->values = mebi__alloc_array(MEBI__TAG_SCRATCH,
                                  w->thread_values * (size_t)mebi__pool_threads(w->job->pool),
                                  sizeof(float));
    w->batch = mebi__alloc(MEBI__TAG_SCRATCH, batch);
    w->scales = mebi__alloc_array(MEBI__TAG_SCRATCH, scales, sizeof(float));
    if (w->values && w->batch && w->scales) return MEBI_OK;
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory to convert with (%zu bytes).", batch);
}

static mebi_status write_all(writing *w, const mebi__convert_file *file,
                             const mebi__outputs *outputs, const mebi__bytes *header,
                             mebi_error *err) {
    uint64_t bytes = header->used + outputs->data_bytes;
    if (file->target.gguf) bytes = (bytes + 31) / 32 * 32;
    MEBI_TRY(mebi__writer_reserve(&w->writer, bytes, err));
    MEBI_TRY(append(w, header->at, header->used, err));
    for (int i = 0; i < outputs->count; i++) {
        w->output = &outputs->at[i];
        MEBI_TRY(pad_to(w, header->used + w->output->offset, err));
        if (w->output->sources > 0) MEBI_TRY(write_rows(w, err));
        else MEBI_TRY(append(w, w->scales, (size_t)w->output->bytes, err));
    }
    return pad_to(w, bytes, err);
}

static mebi_status make_header(const mebi__convert_file *file, const mebi__outputs *outputs,
                               mebi__bytes *header, mebi_error *err) {
    if (outputs->count == 0)
        return mebi__fail(err, MEBI_BAD_FILE, "There is no tensor to convert for %s.", file->path);
    return file->target.gguf ? mebi__gguf_header(outputs, &file->target, &file->about, header, err)
                             : mebi__safetensors_header(outputs, &file->target, header, err);
}

mebi_status mebi__convert_write(mebi__convert_job *job, const mebi__convert_file *file,
                                mebi_error *err) {
    mebi__outputs outputs;
    mebi__bytes header = {0};
    writing w = {.job = job, .writer = {.fd = -1}};
    mebi_status status = mebi__outputs_plan(file->tensors, &file->target, &outputs, err);
    if (status == MEBI_OK) status = make_header(file, &outputs, &header, err);
    if (status == MEBI_OK) status = take_memory(&w, &outputs, err);
    if (status == MEBI_OK) status = mebi__writer_open(file->path, &w.writer, err);
    if (status == MEBI_OK) status = write_all(&w, file, &outputs, &header, err);
    if (status == MEBI_OK) status = mebi__writer_finish(&w.writer, NULL, err);
    if (status == MEBI_OK) {
        job->report.tensors += outputs.count;
        job->report.bytes_after += w.written;
    }
    mebi__writer_abandon(&w.writer);
    mebi__free(w.values);
    mebi__free(w.batch);
    mebi__free(w.scales);
    mebi__bytes_release(&header);
    mebi__outputs_release(&outputs);
    return status;
}
