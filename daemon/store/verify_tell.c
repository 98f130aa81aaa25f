/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/verify.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/*
 * Telling damage in words. What is damaged is found by the numbers of rows; people think in
 * steps. The steps of rows that cannot be read are those between the readings around them, so
 * these are looked up when the step of the check is over and holds no transaction.
 */

enum { MAX_STEPS_BACK = 256 }; /* damaged chunks in a row that are passed over */

static struct verify_finding *add_finding(
    struct verifier *verifier, const struct strand_id *id)
{
    if (verifier->n_findings == verifier->findings_room) {
        verifier->findings_room = 2 * verifier->findings_room + 8;
        verifier->findings = baro_xrealloc(
            verifier->findings, verifier->findings_room, sizeof *verifier->findings);
    }
    struct verify_finding *finding = &verifier->findings[verifier->n_findings++];
    *finding = (struct verify_finding){.id = *id};
    return finding;
}

void verify_tell(
    struct verifier *verifier, const struct strand_id *id, const char *format, ...)
{
    struct verify_finding *finding = add_finding(verifier, id);
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is right above */
    (void)vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
}

/* Make one of two findings that say the same of rows one behind the other. */
static void join_last(struct verifier *verifier)
{
    if (verifier->n_findings < 2) {
        return;
    }
    struct verify_finding *last = &verifier->findings[verifier->n_findings - 1];
    struct verify_finding *before = last - 1;
    const struct strand_id *a = &before->id;
    const struct strand_id *b = &last->id;
    if (before->has_rows && before->end_row == last->first_row && a->run == b->run &&
        a->thing == b->thing && a->kind == b->kind && a->level == b->level &&
        a->part == b->part && strcmp(before->text, last->text) == 0) {
        before->end_row = last->end_row;
        before->n_points += last->n_points;
        verifier->n_findings--;
    }
}

void verify_tell_rows(struct verifier *verifier, const struct strand_id *id,
    uint64_t first_row, uint64_t end_row, uint64_t n_points, const char *format, ...)
{
    struct verify_finding *finding = add_finding(verifier, id);
    va_list args;
    finding->has_rows = true;
    finding->first_row = first_row;
    finding->end_row = end_row;
    finding->n_points = n_points;
    (void)snprintf(
        finding->head, sizeof finding->head, "%s", id->level > 0 ? "summaries of " : "");
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is right above */
    (void)vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
    join_last(verifier);
}

/* ---- rows to steps ---- */

/* The largest step of the chunk before a row that can be read; false when there is none. */
static bool step_before(struct store *store, const struct verify_finding *finding,
    const struct group_record *record, int64_t *out_step)
{
    MDB_txn *txn = NULL;
    uint64_t row = finding->first_row;
    bool is_found = false;
    if (store_reading_begin(store, &txn, NULL) != 0) {
        return false;
    }
    for (int i = 0; i < MAX_STEPS_BACK && row > 0 && !is_found; i++) {
        struct strand_id id = finding->id;
        struct strand_chunk found;
        struct chunk chunk;
        bool is_parted = row <= record->parted_rows && record->part_columns > 0;
        id.level = 0;
        id.part = (uint16_t)(!is_parted ? 0 : id.part > 0 ? id.part : 1);
        if (strand_find(store, txn, &id, row - 1, &found, NULL) != 1) {
            break;
        }
        if (found.first_row < row &&
            chunk_open(&chunk, found.value.mv_data, found.value.mv_size, NULL) == 0) {
            *out_step = chunk.last_step;
            is_found = true;
        }
        row = found.first_row < row ? found.first_row : row - 1;
    }
    store_reading_end(store, txn);
    return is_found;
}

static int note_step(const struct store_block *block, void *payload)
{
    int64_t *step = payload;
    *step = block->steps[0];
    return 1;
}

/* The step of the first row from one on that can be read; false when there is none. */
static bool step_behind(
    struct store *store, const struct verify_finding *finding, int64_t *out_step)
{
    const struct store_query query = {
        .run = finding->id.run,
        .thing = finding->id.thing,
        .kind = finding->id.kind,
        .first_row = finding->end_row,
        .from_step = INT64_MIN,
        .to_step = INT64_MAX,
    };
    return finding->end_row != UINT64_MAX &&
           store_read(store, &query, note_step, out_step, NULL) == 1;
}

/* About which steps a finding's rows had; false when their group does not tell. */
static bool find_steps(struct store *store, const struct verify_finding *finding,
    int64_t *out_from, int64_t *out_to)
{
    struct group_record record = {0};
    const struct strand_id *id = &finding->id;
    int64_t step = 0;
    if (!finding->has_rows ||
        store_group_get(store, id->run, id->thing, id->kind, &record, NULL) != 1 ||
        record.first_step > record.last_step) {
        return false;
    }
    *out_from = record.first_step;
    *out_to = record.last_step;
    if (step_before(store, finding, &record, &step) && step < INT64_MAX) {
        *out_from = step + 1;
    }
    if (step_behind(store, finding, &step) && step > INT64_MIN) {
        *out_to = step - 1;
    }
    return *out_from <= *out_to; /* steps that go back tell nothing */
}

/* ---- giving ---- */

static void give(struct verifier *verifier, const struct verify_finding *finding)
{
    char sentence[400];
    char rows[64] = "";
    char points[40] = "";
    struct store_damage damage = {
        .run = finding->id.run,
        .thing = finding->id.thing,
        .kind = finding->id.kind,
        .sentence = sentence,
    };
    damage.has_steps =
        find_steps(verifier->store, finding, &damage.from_step, &damage.to_step);
    if (damage.has_steps && damage.from_step == damage.to_step) {
        (void)snprintf(rows, sizeof rows, "step %" PRId64, damage.from_step);
    } else if (damage.has_steps) {
        (void)snprintf(rows, sizeof rows, "steps %" PRId64 " to %" PRId64, damage.from_step,
            damage.to_step);
    } else if (finding->has_rows && finding->end_row == UINT64_MAX) {
        (void)snprintf(rows, sizeof rows, "rows from %" PRIu64 " on", finding->first_row);
    } else if (finding->has_rows) {
        (void)snprintf(rows, sizeof rows, "rows %" PRIu64 " to %" PRIu64,
            finding->first_row, finding->end_row - 1);
    }
    if (finding->n_points > 0) {
        (void)snprintf(points, sizeof points, "(%" PRIu64 " point%s) ", finding->n_points,
            finding->n_points == 1 ? "" : "s");
    }
    (void)snprintf(sentence, sizeof sentence, "%s%s%s%s%s", finding->head, rows,
        finding->has_rows ? " " : "", points, finding->text);
    store_note_damage(
        verifier->store, damage.run, damage.thing, damage.kind, finding->text);
    verifier->fn(&damage, verifier->payload);
}

void verify_give_findings(struct verifier *verifier)
{
    for (size_t i = 0; i < verifier->n_findings; i++) {
        give(verifier, &verifier->findings[i]);
    }
    free(verifier->findings);
    verifier->findings = NULL;
    verifier->n_findings = 0;
    verifier->findings_room = 0;
}
