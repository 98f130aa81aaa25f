/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/corpus.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/* A file in memory. */
struct corpus_map {
    char run[256];
    char name[256]; /* of the file: "loss.train.f64" */
    void *bytes;
    size_t n_bytes;
};

static void map_file(
    struct corpus *corpus, const char *dir, const char *run, const char *name)
{
    char path[1024];
    struct stat status;
    struct corpus_map map = {0};
    (void)snprintf(path, sizeof path, "%s/%s/%s", dir, run, name);
    baro_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size == 0) {
        return;
    }
    (void)snprintf(map.run, sizeof map.run, "%s", run);
    (void)snprintf(map.name, sizeof map.name, "%s", name);
    map.n_bytes = (size_t)status.st_size;
    map.bytes = mmap(NULL, map.n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map.bytes != MAP_FAILED) {
        corpus->maps = baro_xrealloc(corpus->maps, corpus->n_maps + 1, sizeof map);
        corpus->maps[corpus->n_maps++] = map;
    }
}

static void map_run(struct corpus *corpus, const char *dir, const char *run)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, run);
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            map_file(corpus, dir, run, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
}

static const struct corpus_map *find_map(
    const struct corpus *corpus, const char *run, const char *name)
{
    for (size_t i = 0; i < corpus->n_maps; i++) {
        if (strcmp(corpus->maps[i].run, run) == 0 &&
            strcmp(corpus->maps[i].name, name) == 0) {
            return &corpus->maps[i];
        }
    }
    return NULL;
}

/* The steps and times of a series: single numbers, summaries and units have their own. */
static int add_stamps(
    const struct corpus *corpus, struct corpus_series *series, struct baro_err *err)
{
    const char *of = series->f32 != NULL      ? "units"
                     : series->n_columns == 1 ? "scalar"
                                              : "summary";
    char name[64];
    (void)snprintf(name, sizeof name, "steps.%s.i64", of);
    const struct corpus_map *steps = find_map(corpus, series->run, name);
    (void)snprintf(name, sizeof name, "times.%s.i64", of);
    const struct corpus_map *times = find_map(corpus, series->run, name);
    if (steps == NULL || times == NULL || steps->n_bytes / 8 < series->n_rows ||
        times->n_bytes / 8 < series->n_rows) {
        return baro_err_set(err, BARO_ECORRUPT,
            "the corpus has fewer steps or times than rows of '%s' in '%s'", series->name,
            series->run);
    }
    series->steps = steps->bytes;
    series->times_ns = times->bytes;
    return 0;
}

/* Tell a series by the end of its file's name: ".f64", ".f64x16", ".f32x320". */
static int add_series(
    struct corpus *corpus, const struct corpus_map *map, struct baro_err *err)
{
    const char *type = strrchr(map->name, '.');
    if (type == NULL || (strncmp(type, ".f64", 4) != 0 && strncmp(type, ".f32", 4) != 0)) {
        return 0;
    }
    struct corpus_series series = {.n_columns = 1};
    bool is_f64 = strncmp(type, ".f64", 4) == 0;
    if (type[4] == 'x') {
        series.n_columns = strtoull(type + 5, NULL, 10);
    }
    if (series.n_columns == 0 || series.n_columns > 1 << 20) {
        return baro_err_set(err, BARO_ECORRUPT, "'%s' is no series", map->name);
    }
    (void)snprintf(series.run, sizeof series.run, "%s", map->run);
    (void)snprintf(
        series.name, sizeof series.name, "%.*s", (int)(type - map->name), map->name);
    series.f64 = is_f64 ? map->bytes : NULL;
    series.f32 = is_f64 ? NULL : map->bytes;
    series.n_rows = map->n_bytes / (series.n_columns * (is_f64 ? 8 : 4));
    int rc = add_stamps(corpus, &series, err);
    if (rc == 0 && series.n_rows > 0) {
        corpus->series = baro_xrealloc(corpus->series, corpus->n_series + 1, sizeof series);
        corpus->series[corpus->n_series++] = series;
    }
    return rc;
}

int corpus_open(const char *dir, struct corpus *out_corpus, struct baro_err *err)
{
    *out_corpus = (struct corpus){0};
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            map_run(out_corpus, dir, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < out_corpus->n_maps; i++) {
        rc = add_series(out_corpus, &out_corpus->maps[i], err);
    }
    if (rc == 0 && out_corpus->n_series == 0) {
        rc = baro_err_set(err, BARO_ENOENT,
            "no recorded series in '%s'; record some with tools/corpus/record_corpus.py",
            dir);
    }
    return rc;
}

void corpus_close(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->n_maps; i++) {
        (void)munmap(corpus->maps[i].bytes, corpus->maps[i].n_bytes);
    }
    free(corpus->maps);
    free(corpus->series);
    *corpus = (struct corpus){0};
}
