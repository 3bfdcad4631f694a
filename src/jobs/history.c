/* The pictures that were made. Must never remove one that is not in the trash, nor show one without its file. */
#include "base/memory.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/thumbnail.h"

#include <string.h>
#include <unistd.h>

void mebi__images_free(mebi__images *images) {
    for (int i = 0; i < images->count; i++) {
        mebi__image *m = &images->image[i];
        mebi__free(m->prompt);
        mebi__free(m->negative_prompt);
        mebi__free(m->model);
        mebi__free(m->model_hash);
        mebi__free(m->parameters);
    }
    mebi__free(images->image);
    *images = (mebi__images){0};
}

mebi_status mebi__jobs_images(mebi__jobs *jobs, const mebi__image_query *query,
                              mebi__images *images, mebi_error *err) {
    return mebi__store_images(jobs->store, query, images, err);
}

static int is_id(const char *id) {
    return mebi__files_is_id(id, strnlen(id, MEBI__IMAGE_ID));
}

mebi_status mebi__jobs_image(mebi__jobs *jobs, const char *id, mebi__images *images,
                             mebi_error *err) {
    *images = (mebi__images){0};
    return is_id(id) ? mebi__store_image(jobs->store, id, images, NULL, err) : MEBI_OK;
}

mebi_status mebi__jobs_set_favourite(mebi__jobs *jobs, const char *id, int favourite,
                                     mebi__images *images, mebi_error *err) {
    *images = (mebi__images){0};
    if (!is_id(id)) return MEBI_OK;
    mebi__jobs_lock(jobs);
    mebi_status status = mebi__store_favourite(jobs->store, id, favourite, err);
    mebi__jobs_unlock(jobs);
    return status == MEBI_OK ? mebi__store_image(jobs->store, id, images, NULL, err) : status;
}

/* ---- the trash ---- */

/* Where the file is in images/, and where in the trash. */
static mebi_status both_paths(const mebi__jobs *jobs, const char *id, const char *file, char **shown,
                              char **trashed, mebi_error *err) {
    *shown = mebi__files_path(jobs->folder, "images", file, "");
    *trashed = mebi__files_path(jobs->folder, "trash", id, ".png");
    if (*shown && *trashed) return MEBI_OK;
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a picture's path.");
}

/* Row first: after a kill the file follows it. A file that can't be moved takes the row back. Move is held. */
static mebi_status change_place(mebi__jobs *jobs, const char *id, mebi__image_place to,
                                mebi_error *err) {
    mebi__images image;
    char *file, *shown = NULL, *trashed = NULL;
    mebi_error own = {0};
    MEBI_TRY(mebi__store_image(jobs->store, id, &image, &file, err));
    mebi_status status = MEBI_OK;
    if (image.count && image.image->trashed != (to == MEBI__PLACE_TRASH)) {
        status = both_paths(jobs, id, file, &shown, &trashed, err);
        if (status == MEBI_OK) status = mebi__store_place(jobs->store, id, to, err);
        if (status == MEBI_OK) {
            int back = to == MEBI__PLACE_IMAGES;
            status = mebi__files_move(back ? trashed : shown, back ? shown : trashed, NULL, err);
            if (status != MEBI_OK)
                (void)!mebi__store_place(jobs->store, id,
                                         back ? MEBI__PLACE_TRASH : MEBI__PLACE_IMAGES, &own);
        }
    }
    mebi__images_free(&image);
    mebi__free(file);
    mebi__free(shown);
    mebi__free(trashed);
    return status;
}

static mebi_status move_to(mebi__jobs *jobs, const char *id, mebi__image_place to,
                           mebi__images *images, mebi_error *err) {
    *images = (mebi__images){0};
    if (!is_id(id)) return MEBI_OK;
    mebi_error own = {0};
    mebi__jobs_lock(jobs);
    mebi_status status = change_place(jobs, id, to, &own);
    if (to == MEBI__PLACE_TRASH && mebi__jobs_give_reserve(jobs, status)) {
        own = (mebi_error){0};
        status = change_place(jobs, id, to, &own);
    }
    mebi__jobs_unlock(jobs);
    if (status != MEBI_OK) return mebi__fail(err, status, "%s", own.text);
    return mebi__store_image(jobs->store, id, images, NULL, err);
}

mebi_status mebi__jobs_trash(mebi__jobs *jobs, const char *id, mebi__images *images,
                             mebi_error *err) {
    return move_to(jobs, id, MEBI__PLACE_TRASH, images, err);
}

mebi_status mebi__jobs_restore(mebi__jobs *jobs, const char *id, mebi__images *images,
                               mebi_error *err) {
    return move_to(jobs, id, MEBI__PLACE_IMAGES, images, err);
}

/* The row is marked first: a file of a marked row goes at the next start, if not now. Move is held. */
static mebi_status remove_forever(mebi__jobs *jobs, const char *id, int *removed, mebi_error *err) {
    mebi__images image;
    MEBI_TRY(mebi__store_image(jobs->store, id, &image, NULL, err));
    int there = image.count && image.image->trashed;
    mebi__images_free(&image);
    if (!there) return MEBI_OK;
    char *path = mebi__files_path(jobs->folder, "trash", id, ".png");
    char *small = mebi__files_path(jobs->folder, "thumbnails", id, ".jpg");
    mebi_status status = path && small ? mebi__store_place(jobs->store, id, MEBI__PLACE_REMOVING, err)
                                       : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    if (status == MEBI_OK) status = mebi__files_remove(path, err);
    if (status == MEBI_OK) status = mebi__files_remove(small, err);
    if (status == MEBI_OK) status = mebi__store_forget_image(jobs->store, id, err);
    if (status == MEBI_OK) *removed = 1;
    mebi__free(path);
    mebi__free(small);
    return status;
}

mebi_status mebi__jobs_remove(mebi__jobs *jobs, const char *id, int *removed, mebi_error *err) {
    *removed = 0;
    if (!is_id(id)) return MEBI_OK;
    mebi_error own = {0};
    mebi__jobs_lock(jobs);
    mebi_status status = remove_forever(jobs, id, removed, &own);
    if (mebi__jobs_give_reserve(jobs, status)) {
        own = (mebi_error){0};
        status = remove_forever(jobs, id, removed, &own);
    }
    mebi__jobs_unlock(jobs);
    return status == MEBI_OK ? status : mebi__fail(err, status, "%s", own.text);
}

/* ---- files ---- */

mebi_status mebi__jobs_image_file(mebi__jobs *jobs, const char *id, char **path, mebi_error *err) {
    mebi__images image;
    char *file = NULL;
    *path = NULL;
    if (!is_id(id)) return MEBI_OK;
    MEBI_TRY(mebi__store_image(jobs->store, id, &image, &file, err));
    mebi_status status = MEBI_OK;
    if (image.count) {
        *path = image.image->trashed ? mebi__files_path(jobs->folder, "trash", id, ".png")
                                     : mebi__files_path(jobs->folder, "images", file, "");
        if (!*path) status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    }
    mebi__images_free(&image);
    mebi__free(file);
    return status;
}

mebi_status mebi__jobs_image_thumbnail(mebi__jobs *jobs, const char *id, char **path,
                                       mebi_error *err) {
    char *file;
    mebi_image pixels = {0};
    *path = NULL;
    MEBI_TRY(mebi__jobs_image_file(jobs, id, &file, err));
    if (!file) return MEBI_OK;
    char *small = mebi__files_path(jobs->folder, "thumbnails", id, ".jpg");
    mebi_status status = small ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    if (small && access(small, F_OK) != 0) {
        status = mebi_png_load(file, &pixels, err);
        if (status == MEBI_OK) status = mebi__thumbnail_save(small, &pixels, err);
        mebi_image_release(&pixels);
    }
    mebi__free(file);
    if (status == MEBI_OK) *path = small;
    else mebi__free(small);
    return status;
}
