/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sample_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/base/text.h"

/* What stands behind a label. */
struct behind {
    unsigned long epoch; /* 0: none given */
    unsigned long rank;
};

static bool read_part(const char **text, char mark, unsigned long *out)
{
    if (**text != mark) {
        return true;
    }
    char *end = NULL;
    const char *digits = *text + 1;
    bool is_number = *digits >= '0' && *digits <= '9';
    *out = is_number ? strtoul(digits, &end, 10) : 0;
    *text = is_number ? end : *text;
    return is_number && *out <= UINT32_MAX;
}

static bool read_behind(const char *text, struct behind *out)
{
    *out = (struct behind){0};
    return read_part(&text, '#', &out->epoch) && read_part(&text, '@', &out->rank) &&
           *text == '\0';
}

static bool is_epoch_of(const Baro__ThingInfo *one, const Baro__ThingInfo *other)
{
    return thing_is_tensor(one) && thing_is_tensor(other) && one->rank == other->rank &&
           one->declare->role == other->declare->role &&
           strcmp(one->declare->name, other->declare->name) == 0;
}

const Baro__ThingInfo *sample_newest(
    const struct thing_list *things, const Baro__ThingInfo *thing)
{
    const Baro__ThingInfo *newest = thing;
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *other = things->things[i];
        newest = is_epoch_of(other, thing) && other->epoch > newest->epoch ? other : newest;
    }
    return newest;
}

/* ---- saying what is wrong ---- */

/* A tensor whose label begins the text, but what stands behind it does not fit. */
static bool say_what_is_behind(const struct thing_list *things, const char *text)
{
    char label[SERIES_LABEL_BYTES];
    const Baro__ThingInfo *found = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < things->n_things; i++) {
        size_t n = strlen(thing_label(things->things[i], label));
        bool ends = strncmp(label, text, n) == 0 &&
                    (text[n] == '\0' || strchr("#@[/", text[n]) != NULL);
        if (ends && thing_is_tensor(things->things[i]) && n > longest) {
            found = things->things[i];
            longest = n;
        }
    }
    if (found == NULL) {
        return false;
    }
    struct behind behind;
    (void)thing_label(found, label);
    if (!read_behind(text + longest, &behind)) {
        (void)cli_fail("'%s': name the tensor alone, as '%s'; all its units are looked at, "
                       "--stat says by which statistic",
            text, label);
    } else if (behind.epoch > sample_newest(things, found)->epoch) {
        (void)cli_fail("'%s' has %u %s, no epoch %lu", label,
            sample_newest(things, found)->epoch,
            sample_newest(things, found)->epoch == 1 ? "epoch" : "epochs", behind.epoch);
    } else {
        (void)cli_fail("'%s' is not of rank %lu", label, behind.rank);
    }
    return true;
}

static void say_no_tensor(const struct thing_list *things, const char *text)
{
    baro_autofree char *labels = baro_xcalloc(things->n_things + 1, SERIES_LABEL_BYTES);
    baro_autofree const char **names = baro_xcalloc(things->n_things + 1, sizeof *names);
    size_t n = 0;
    if (say_what_is_behind(things, text)) {
        return;
    }
    for (size_t i = 0; i < things->n_things; i++) {
        const Baro__ThingInfo *thing = things->things[i];
        const char *name = thing->declare->name;
        if (strcmp(name, text) == 0 && !thing_is_tensor(thing)) {
            (void)cli_fail(
                "'%s' is a scalar: it has no units; 'baro get' prints its values", text);
            return;
        }
        if (!thing_is_tensor(thing) || thing->epoch > 1) {
            continue;
        }
        names[n] = thing_label(thing, labels + n * SERIES_LABEL_BYTES);
        if (strcmp(name, text) == 0) {
            (void)cli_fail("'%s' lacks the role; there is '%s'", text, names[n]);
            return;
        }
        n++;
    }
    const char *near = baro_nearest(text, names, n);
    if (near != NULL) {
        (void)cli_fail("no tensor '%s' in this run; did you mean '%s'?", text, near);
    } else {
        (void)cli_fail("no tensor '%s' in this run%s", text,
            n > 0 ? "; 'baro series' lists them" : ": it has none yet");
    }
}

static void say_no_units(const Baro__ThingInfo *thing)
{
    char label[SERIES_LABEL_BYTES];
    bool is_long = false;
    for (size_t i = 0; i < thing->declare->n_shape; i++) {
        is_long = is_long || thing->declare->shape[i] > READING_MAX_UNITS;
    }
    (void)thing_label(thing, label);
    if (is_long) {
        (void)cli_fail(
            "'%s' has no units: tensors of more than %d are kept as a whole only", label,
            READING_MAX_UNITS);
    } else {
        (void)cli_fail("'%s' has no units", label);
    }
}

/* ---- finding ---- */

const Baro__ThingInfo *sample_find_tensor(
    const struct thing_list *things, const char *text, bool *out_is_epoch)
{
    const Baro__ThingInfo *found = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < things->n_things; i++) {
        char label[SERIES_LABEL_BYTES];
        struct behind behind;
        const Baro__ThingInfo *thing = things->things[i];
        size_t n = strlen(thing_label(thing, label));
        if (!thing_is_tensor(thing) || n < longest || strncmp(label, text, n) != 0 ||
            !read_behind(text + n, &behind) || behind.rank != thing->rank ||
            (behind.epoch != 0 && behind.epoch != thing->epoch)) {
            continue;
        }
        if (found == NULL || n > longest || thing->epoch > found->epoch) {
            found = thing;
            longest = n;
            *out_is_epoch = behind.epoch != 0;
        }
    }
    if (found == NULL) {
        say_no_tensor(things, text);
    } else if (found->declare->n_units == 0) {
        say_no_units(found);
        found = NULL;
    }
    return found;
}

int sample_find_stat(const Baro__ThingInfo *thing, const char *name)
{
    const int n = (int)thing_unit_stats(thing);
    const int stat = reading_stat_parse(READING_UNITS, name);
    char list[160] = "";
    if (stat >= 0 && stat < n) {
        return stat;
    }
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(list);
        (void)snprintf(
            list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", unit_stat_name(i));
    }
    (void)cli_fail("--stat: its units have no statistic '%s'; there are: %s", name, list);
    return -1;
}
