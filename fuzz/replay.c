/* Runs a target over the files of a folder, each once: what was found stays mended. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { INPUT_BYTES = 1 << 20 };

/* 0: it can't be read. */
static int run(const char *path) {
    static uint8_t room[INPUT_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    size_t bytes = fread(room, 1, sizeof room, f);
    int good = !ferror(f) && bytes < sizeof room;
    fclose(f);
    uint8_t *data = good ? malloc(bytes ? bytes : 1) : NULL;
    if (!data) return 0;
    memcpy(data, room, bytes);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    return 1;
}

int main(int argc, char **argv) {
    char path[4096];
    int count = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *d; (d = readdir(folder));) {
        if (d->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], d->d_name);
        if (!run(path)) {
            fprintf(stderr, "%s can't be read\n", path);
            return 1;
        }
        count++;
    }
    closedir(folder);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
