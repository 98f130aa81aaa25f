/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/meant.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

/* The ways in which a text can mean a run, from the strictest on. */
enum way { WAY_ID, WAY_FULL_NAME, WAY_NAME, WAY_ID_PREFIX, WAY_COUNT };

static bool fits(const struct baro_called *run, const char *text, enum way way)
{
    size_t n_project = strlen(run->project);
    switch (way) {
    case WAY_ID: return strcmp(run->id, text) == 0;
    case WAY_FULL_NAME:
        return strncmp(run->project, text, n_project) == 0 && text[n_project] == '/' &&
               strcmp(run->name, text + n_project + 1) == 0;
    case WAY_NAME: return strcmp(run->name, text) == 0;
    case WAY_ID_PREFIX: return strncmp(run->id, text, strlen(text)) == 0;
    case WAY_COUNT: break;
    }
    return false;
}

/* The length of an id without the "~1" that a run gets when a branch takes its id over. */
static size_t plain_length(const char *id)
{
    const char *mark = strrchr(id, '~');
    if (mark == NULL || mark == id || mark[1] == '\0' ||
        mark[1 + strspn(mark + 1, "0123456789")] != '\0') {
        return strlen(id);
    }
    return (size_t)(mark - id);
}

bool baro_meant_is_former(const struct baro_called *runs, size_t n, size_t at)
{
    const char *id = runs[at].id;
    size_t n_plain = plain_length(id);
    for (size_t i = 0; id[n_plain] != '\0' && i < n; i++) {
        if (strncmp(runs[i].id, id, n_plain) == 0 && runs[i].id[n_plain] == '\0') {
            return true;
        }
    }
    return false;
}

/* One way, among the runs that carry their own id or among those that gave it up to a branch. */
static size_t find_by(const struct baro_called *runs, const bool *former, size_t n,
    const char *text, enum way way, bool is_former, size_t *out_at, bool *out_fits)
{
    bool is_latest = strcmp(text, "latest") == 0;
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_fit = former[i] == is_former &&
                      (is_latest ? n_found == 0 : fits(&runs[i], text, way));
        if (is_fit && n_found++ == 0) {
            *out_at = i;
        }
        if (out_fits != NULL) {
            out_fits[i] = is_fit;
        }
    }
    return n_found;
}

enum baro_meant baro_meant_find(const struct baro_called *runs, size_t n, const char *text,
    size_t *out_at, bool *out_fits)
{
    baro_autofree bool *former = baro_xcalloc(n + 1, sizeof *former);
    for (size_t i = 0; i < n; i++) {
        former[i] = baro_meant_is_former(runs, n, i);
    }
    size_t n_found = 0;
    for (int turn = 0; turn < 2 * WAY_COUNT && n_found == 0 && text[0] != '\0'; turn++) {
        n_found = find_by(
            runs, former, n, text, (enum way)(turn / 2), turn % 2 == 1, out_at, out_fits);
    }
    return n_found == 0   ? BARO_MEANT_NONE
           : n_found == 1 ? BARO_MEANT_ONE
                          : BARO_MEANT_SEVERAL;
}

bool baro_meant_near(
    const struct baro_called *runs, size_t n, const char *text, char *out, size_t out_bytes)
{
    enum { FULL_BYTES = 2048 };
    baro_autofree char *full = baro_xcalloc(n + 1, FULL_BYTES);
    baro_autofree const char **names = baro_xcalloc(3 * n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        char *place = full + i * FULL_BYTES;
        (void)snprintf(place, FULL_BYTES, "%s/%s", runs[i].project, runs[i].name);
        names[3 * i] = runs[i].name;
        names[3 * i + 1] = place;
        names[3 * i + 2] = runs[i].id;
    }
    const char *near = baro_nearest(text, names, 3 * n);
    if (near != NULL) {
        (void)snprintf(out, out_bytes, "%s", near);
    }
    return near != NULL;
}
