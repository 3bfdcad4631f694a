/* Pictures of a sweep, outside the memory that is measured. */
#include "sweep/store.h"

#include "base/error.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

mebi_status mebi__store_put(mebi__sweep *s, const void *data, size_t bytes, int64_t *at,
                            mebi_error *err) {
    const char *from = data;
    *at = s->stored;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(fileno(s->store), from + done, bytes - done, s->stored + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return mebi__fail(
                err, MEBI_IO,
                "A picture of %zu bytes can't be kept in the temporary folder: %s. Free some "
                "space there, or name another one in TMPDIR.",
                bytes, n ? strerror(errno) : "it is full");
        done += (size_t)n;
    }
    s->stored += (int64_t)bytes;
    return MEBI_OK;
}

mebi_status mebi__store_get(const mebi__sweep *s, int64_t at, void *data, size_t bytes,
                            mebi_error *err) {
    char *to = data;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fileno(s->store), to + done, bytes - done, at + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return mebi__fail(err, MEBI_IO, "A kept picture can't be read again: %s.",
                              n ? strerror(errno) : "it is cut off");
        done += (size_t)n;
    }
    return MEBI_OK;
}

mebi_status mebi__store_picture(const mebi__sweep *s, const mebi__shot *shot, mebi_image *image,
                                mebi_error *err) {
    const mebi__row *row = &s->row[shot->size];
    size_t bytes = (size_t)row->width * (size_t)row->height * 3;
    *image = (mebi_image){row->width, row->height, mebi__alloc(MEBI__TAG_OUTPUT, bytes)};
    if (!image->pixels)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to look at a picture of %d x %d.",
                          row->width, row->height);
    mebi_status status = mebi__store_get(s, shot->pixels_at, image->pixels, bytes, err);
    if (status != MEBI_OK) mebi_image_release(image);
    return status;
}
