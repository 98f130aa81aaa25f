/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "daemon/rows.h"
#include "daemon/rules.h"
#include "lib/alarm/alarm.h"
#include "lib/alarm/weave.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOG_MODULE "rules"

/*
 * A judge that is made again sees the last ALARM_WARM_STEPS steps that its stream told, fewer where
 * that would be more than MAX_BYTES: a second or so of reading at most, once per stream and
 * restart. What the judge had learnt from before that is lost: a rule that compares with a longer
 * past begins anew. Of several ranks it sees what READING_RANK says to be its own; where there is
 * none, it sees each step once, and no batches.
 */

enum { MAX_BYTES = 64 << 20 };

/* Feeding one stream's judge. */
struct warming {
    struct barod *barod;
    struct stream *stream;
    struct weave *weave;
    struct alarm_stream *judged;
    int64_t from_step;
    int64_t last_clock; /* newest step told, with several ranks; valid if has_clock */
    bool has_clock;
    bool has_ranks;
};

static bool is_wanted(const struct warming *warming, const struct store_group_info *group)
{
    if (group->thing == 0) {
        return group->kind == READING_STEP || group->kind == READING_EVENT ||
               group->kind == READING_BATCH || group->kind == READING_SAMPLES ||
               group->kind == READING_RANK;
    }
    const struct thing *thing = registry_thing(warming->stream->run, group->thing);
    return thing != NULL && thing->rank == warming->stream->hello->rank;
}

/* About the bytes of a group's rows from a step on. */
static double bytes_from(const struct store_group_info *group, int64_t from_step)
{
    double span = (double)group->last_step - (double)group->first_step + 1;
    double wanted = (double)group->last_step - (double)from_step + 1;
    double share = wanted < span ? wanted / span : 1;
    size_t row = 160 + 8 * (size_t)group->n_f64 + 4 * (size_t)group->n_f32;
    return wanted > 0 ? share * (double)group->n_rows * (double)row : 0;
}

/* From which step on so much can be read as is allowed. */
static int64_t choose_from(
    const struct warming *warming, const struct store_group_info *groups, size_t n_groups)
{
    int64_t last = warming->stream->max_step;
    for (int64_t n_steps = ALARM_WARM_STEPS; n_steps > 8; n_steps /= 2) {
        int64_t from = last > INT64_MIN + n_steps ? last - n_steps + 1 : INT64_MIN;
        double bytes = 0;
        for (size_t i = 0; i < n_groups; i++) {
            bytes += is_wanted(warming, &groups[i]) ? bytes_from(&groups[i], from) : 0;
        }
        if (bytes <= MAX_BYTES) {
            return from;
        }
    }
    return last > INT64_MIN + 8 ? last - 8 : INT64_MIN;
}

static void add_page(struct warming *warming, const struct row_page *page,
    const struct store_group_info *group)
{
    const uint8_t *cursor = page->bytes;
    const uint8_t *payload = NULL;
    struct record_header header;
    const struct run *run = warming->stream->run;
    const struct thing *thing = registry_thing(run, group->thing);
    uint32_t n_units = thing != NULL ? thing->declare->n_units : 0;
    enum baro_role role = thing != NULL ? (enum baro_role)thing->declare->role : 0;
    while (record_next(&cursor, page->bytes + page->n_bytes, &header, &payload) > 0) {
        struct reading reading;
        bool is_own = warming->stream->created_ns == 0 ||
                      header.time_ns >= warming->stream->created_ns;
        if (is_own && reading_check(&header, payload, n_units, role, &reading, NULL) == 0) {
            bool is_told = group->thing == 0 && warming->has_ranks; /* by READING_RANK */
            weave_add(warming->weave, &reading, group->thing,
                is_told ? WEAVE_ANY_RANK : (int64_t)warming->stream->hello->rank);
        }
    }
}

static void read_group(struct warming *warming, const struct store_group_info *group)
{
    struct row_source source = {
        .parts = {{warming->stream->run->number, group->thing, INT64_MAX}},
        .n_parts = 1,
        .thing = group->thing,
        .kind = group->kind,
        .n_f64 = group->n_f64,
        .n_f32 = group->n_f32,
        .with_extra = true,
        .from_step = warming->from_step,
        .to_step = INT64_MAX,
    };
    uint64_t cursor = 0;
    do {
        struct row_page page = {0};
        struct baro_err err = {0};
        if (rows_page(&source, warming->barod->store, cursor, 0, &page, &err) != 0) {
            log_warn_every_second("rules: stored readings cannot be read: %s", err.text);
            page.cursor = 0;
        } else {
            add_page(warming, &page, group);
        }
        cursor = page.cursor;
        free(page.bytes);
    } while (cursor != 0 && weave_bytes(warming->weave) < 2 * (size_t)MAX_BYTES);
}

static int feed(const struct reading *reading, uint32_t thing, int64_t rank, void *payload)
{
    struct warming *warming = payload;
    int64_t step = reading->header.step;
    bool is_anyones = rank == WEAVE_ANY_RANK;
    bool is_of_rank =
        reading->header.kind == READING_BATCH || reading->header.kind == READING_SAMPLES;
    if (is_anyones ? is_of_rank : rank != (int64_t)warming->stream->hello->rank) {
        return 0;
    }
    bool is_clock = reading->header.kind == READING_STEP && is_anyones;
    if (is_clock && warming->has_clock && step == warming->last_clock) {
        return 0; /* another rank's */
    }
    if (is_clock) {
        warming->has_clock = true;
        warming->last_clock = step;
    }
    (void)alarm_reading(warming->judged, reading, thing);
    return 0;
}

void rules_warm(struct barod *barod, struct stream *stream)
{
    struct warming warming = {
        .barod = barod,
        .stream = stream,
        .judged = stream->alarm,
        .has_ranks = rules_has_ranks(stream->run),
    };
    baro_autofree struct store_group_info *groups = NULL;
    size_t n_groups = 0;
    struct baro_err err = {0};
    if (store_groups(barod->store, stream->run->number, &groups, &n_groups, &err) != 0) {
        log_warn("the rules of run %u begin anew: %s", stream->run->number, err.text);
        return;
    }
    warming.weave = weave_create();
    warming.from_step = choose_from(&warming, groups, n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        if (is_wanted(&warming, &groups[i])) {
            read_group(&warming, &groups[i]);
        }
    }
    alarm_set_warming(stream->alarm, true);
    (void)weave_each(warming.weave, feed, &warming);
    alarm_set_warming(stream->alarm, false);
    log_info("run %u: its rules saw %zu stored readings from step %lld on again",
        stream->run->number, weave_count(warming.weave), (long long)warming.from_step);
    weave_destroy(warming.weave);
}
