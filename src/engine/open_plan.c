/* Opening a model to plan with. Must never read a weight, nor take memory for one. */
#include "compute/dry.h"
#include "engine/engine.h"
#include "weights/published.h"

#include <stdio.h>

mebi_status mebi__engine_imagine_files(mebi_engine *e, mebi_error *err) {
    mebi__model_files *f = &e->files;
    mebi__random_how how = {.shapes_only = 1};
    e->shapes_only = 1;
    f->dit_config = mebi__published_dit;
    f->encoder_config = mebi__published_encoder;
    f->vae_config = mebi__published_vae;
    f->scheduler = (mebi__scheduler_config){.train_timesteps = 1000, .shift = 3};
    snprintf(f->hash, sizeof f->hash, "%016d", 0);
    MEBI_TRY(mebi__random_dit(&f->dit_config, &how, e->pool, &e->shapes[0], err));
    MEBI_TRY(mebi__random_encoder(&f->encoder_config, &how, e->pool, &e->shapes[1], err));
    MEBI_TRY(mebi__random_vae(&f->vae_config, &how, e->pool, &e->shapes[2], err));
    f->dit = e->shapes[0].tensors;
    f->encoder = e->shapes[1].tensors;
    f->vae = e->shapes[2].tensors;
    return MEBI_OK;
}

mebi_status mebi__engine_imagine_device(mebi_engine *e, mebi_error *err) {
    e->target = e->device;
    return mebi__dry_create(e->target, &e->device, err);
}

mebi_status mebi__engine_plan_for(mebi_engine *e, const char *name, mebi_error *err) {
    if (!name) return MEBI_OK;
    MEBI_TRY(mebi__planned_device_find(name, &e->planned, err));
    e->budget_of_device = mebi__planned_device_room(e->planned);
    return MEBI_OK;
}

void mebi__engine_imagine_end(mebi_engine *e) {
    if (!e->shapes_only) return;
    e->files.dit = e->files.encoder = e->files.vae = NULL; /* the shapes' own */
    for (int i = 0; i < 3; i++) mebi__random_close(&e->shapes[i]);
}

const char *mebi_device_name(int index) {
    const mebi__planned_device *d = mebi__planned_device_at(index);
    return d ? d->name : NULL;
}
