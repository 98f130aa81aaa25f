/* SPDX-License-Identifier: Apache-2.0 */
#include "client/model/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/*
 * A walk over JSON that keeps what it needs: the path of keys, and where the text of each value
 * begins and ends. Objects are entered, lists are values as they are written. Text is compared as
 * it is: both sides were written by the same encoder. What is not JSON ends the walk.
 */

enum { MAX_DEPTH = 16, MAX_SETTINGS = 4096 };

struct setting {
    char *key; /* owned */
    const char *value;
    size_t n_value;
};

struct settings {
    size_t n;
    struct setting *at;
};

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind a string that begins here; NULL: it does not end. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        }
    }
    return *at == '"' ? at + 1 : NULL;
}

/* Behind a value that is no object; NULL: it does not end. */
static const char *skip_value(const char *at)
{
    int depth = 0;
    while (*at != '\0') {
        if (*at == '"') {
            at = skip_string(at);
            if (at == NULL) {
                return NULL;
            }
            if (depth == 0) {
                return at;
            }
            continue;
        }
        if (depth == 0 && (*at == ',' || *at == '}')) {
            return at;
        }
        depth += *at == '[' || *at == '{' ? 1 : 0;
        depth -= *at == ']' || *at == '}' ? 1 : 0;
        at++;
        if (depth == 0 && (at[-1] == ']' || at[-1] == '}')) {
            return at;
        }
    }
    return NULL;
}

static void add_setting(
    struct settings *settings, const char *path, const char *value, size_t n_value)
{
    while (n_value > 0 && strchr(" \t\r\n", value[n_value - 1]) != NULL) {
        n_value--;
    }
    settings->at = baro_xrealloc(settings->at, settings->n + 1, sizeof *settings->at);
    settings->at[settings->n++] = (struct setting){baro_xstrdup(path), value, n_value};
}

/* Put a key behind the path; false: it is too long. */
static bool push_key(char *path, size_t room, size_t *n_path, const char *key, size_t n)
{
    size_t dot = *n_path > 0 ? 1 : 0;
    if (*n_path + dot + n + 1 > room) {
        return false;
    }
    if (dot > 0) {
        path[*n_path] = '.';
    }
    memcpy(path + *n_path + dot, key, n);
    *n_path += dot + n;
    path[*n_path] = '\0';
    return true;
}

static void walk(const char *at, struct settings *settings)
{
    char path[1024] = "";
    size_t ends[MAX_DEPTH] = {0}; /* of the path, by depth */
    size_t depth = 0;
    at = skip_space(at);
    if (*at != '{') {
        return;
    }
    at++;
    while (settings->n < MAX_SETTINGS) {
        size_t n_path = ends[depth];
        path[n_path] = '\0';
        at = skip_space(at);
        if (*at == ',') {
            at++;
        } else if (*at == '}' && depth > 0) {
            depth--;
            at++;
        } else if (*at == '"') {
            const char *key = at + 1;
            at = skip_string(at);
            if (at == NULL ||
                !push_key(path, sizeof path, &n_path, key, (size_t)(at - 1 - key))) {
                return;
            }
            at = skip_space(at);
            if (*at != ':') {
                return;
            }
            at = skip_space(at + 1);
            if (*at == '{' && *skip_space(at + 1) != '}' && depth + 1 < MAX_DEPTH) {
                ends[++depth] = n_path;
                at++;
                continue;
            }
            const char *end = skip_value(at);
            if (end == NULL) {
                return;
            }
            add_setting(settings, path, at, (size_t)(end - at));
            at = end;
        } else {
            return;
        }
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct setting *)a)->key, ((const struct setting *)b)->key);
}

static void read_settings(const char *text, struct settings *out)
{
    *out = (struct settings){0};
    walk(text != NULL ? text : "", out);
    if (out->n > 0) {
        qsort(out->at, out->n, sizeof *out->at, by_key);
    }
}

static void free_settings(struct settings *settings)
{
    for (size_t i = 0; i < settings->n; i++) {
        free(settings->at[i].key);
    }
    free(settings->at);
}

/* Copy what fits, whole characters; the rest is "...". */
static void copy_text(char *out, size_t room, const char *text, size_t n)
{
    if (n < room) {
        memcpy(out, text, n);
        out[n] = '\0';
        return;
    }
    n = room - 4;
    while (n > 0 && ((unsigned char)text[n] & 0xC0U) == 0x80U) {
        n--;
    }
    memcpy(out, text, n);
    memcpy(out + n, "...", 4);
}

static bool is_same_value(const struct setting *a, const struct setting *b)
{
    return a->n_value == b->n_value && memcmp(a->value, b->value, a->n_value) == 0;
}

size_t config_differences(
    const char *a, const char *b, struct config_pair *out, size_t max, size_t *out_same)
{
    struct settings left, right;
    size_t n = 0;
    size_t n_same = 0;
    read_settings(a, &left);
    read_settings(b, &right);
    for (size_t i = 0, k = 0; i < left.n || k < right.n;) {
        int order = i == left.n    ? 1
                    : k == right.n ? -1
                                   : strcmp(left.at[i].key, right.at[k].key);
        const struct setting *x = order <= 0 ? &left.at[i] : NULL;
        const struct setting *y = order >= 0 ? &right.at[k] : NULL;
        i += order <= 0 ? 1 : 0;
        k += order >= 0 ? 1 : 0;
        if (x != NULL && y != NULL && is_same_value(x, y)) {
            n_same++;
            continue;
        }
        if (n < max) {
            const char *key = x != NULL ? x->key : y->key;
            copy_text(out[n].key, sizeof out[n].key, key, strlen(key));
            copy_text(out[n].a, sizeof out[n].a, x != NULL ? x->value : "",
                x != NULL ? x->n_value : 0);
            copy_text(out[n].b, sizeof out[n].b, y != NULL ? y->value : "",
                y != NULL ? y->n_value : 0);
        }
        n++;
    }
    if (out_same != NULL) {
        *out_same = n_same;
    }
    free_settings(&left);
    free_settings(&right);
    return n;
}
