/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/query.h"
#include "daemon/upkeep.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/reading_words.h"
#include "lib/base/tensor.h"

#define LOG_MODULE "upkeep"

/*
 * Damage: asked for by requests to verify, of the whole store or of one series, and met by any
 * read. What was met is logged once for each series and counted with its run.
 *
 * A cursor on the wire is: part of the lineage (1; 0 for the whole store), part of the check (1),
 * key.
 */

enum { CURSOR_HEAD_BYTES = 2, MAX_CURSOR_BYTES = 40, MAX_TAKEN = 64 };

struct verify {
    struct job job;
    struct store_verify at;
    struct lineage_part parts[REGISTRY_MAX_LINEAGE]; /* of one series, oldest first */
    size_t n_parts;                                  /* 0: the whole store */
    size_t part;
    uint16_t kind;
    Baro__VerifyDamage *damages;
    size_t n_damages;
};

static void verify_destroy(struct job *job)
{
    struct verify *verify = (struct verify *)job;
    for (size_t i = 0; i < verify->n_damages; i++) {
        free(verify->damages[i].text);
    }
    free(verify->damages);
    free(verify);
}

static void on_damage(const struct store_damage *met, void *payload)
{
    struct verify *verify = payload;
    verify->damages =
        baro_xrealloc(verify->damages, verify->n_damages + 1, sizeof *verify->damages);
    Baro__VerifyDamage *damage = &verify->damages[verify->n_damages++];
    baro__verify_damage__init(damage);
    damage->run = met->run;
    damage->thing = met->thing;
    damage->kind = met->kind;
    damage->text = baro_xstrdup(met->sentence);
    damage->has_steps = met->has_steps;
    damage->from_step = met->from_step;
    damage->to_step = met->to_step;
}

static size_t write_cursor(const struct verify *verify, uint8_t *out)
{
    const struct store_verify *at = &verify->at;
    bool is_next = at->is_done && verify->part + 1 < verify->n_parts;
    if (at->is_done && !is_next) {
        return 0;
    }
    out[0] = (uint8_t)(verify->part + (is_next ? 1 : 0));
    out[1] = (uint8_t)(is_next ? 0 : at->part);
    memcpy(out + CURSOR_HEAD_BYTES, at->key, is_next ? 0 : at->key_bytes);
    return CURSOR_HEAD_BYTES + (is_next ? 0 : at->key_bytes);
}

static void verify_work(struct job *job, struct store *store)
{
    struct verify *verify = (struct verify *)job;
    if (verify->n_parts > 0) {
        verify->at.is_group = true;
        verify->at.run = verify->parts[verify->part].run;
        verify->at.thing = verify->parts[verify->part].thing;
        verify->at.kind = verify->kind;
    }
    if (store_verify_step(store, &verify->at, on_damage, verify, &job->err) != 0) {
        return;
    }
    uint8_t cursor[MAX_CURSOR_BYTES];
    baro_autofree Baro__VerifyDamage **pointers =
        baro_xcalloc(verify->n_damages + 1, sizeof(Baro__VerifyDamage *));
    for (size_t i = 0; i < verify->n_damages; i++) {
        pointers[i] = &verify->damages[i];
    }
    Baro__VerifyReply reply;
    baro__verify_reply__init(&reply);
    reply.cursor.len = write_cursor(verify, cursor);
    reply.cursor.data = cursor;
    reply.n_chunks = verify->at.n_chunks;
    reply.n_bytes = verify->at.n_bytes;
    reply.total_bytes = store_used_bytes(store);
    reply.n_damages = verify->n_damages;
    reply.damages = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_VERIFY_REPLY;
    envelope.verify_reply = &reply;
    query_reply(job, &envelope);
}

/* Find where the series of a request lies. */
static int find_parts(const struct barod *barod, const Baro__VerifyRequest *request,
    struct verify *verify, struct baro_err *err)
{
    const struct run *run = registry_run(&barod->registry, request->run);
    const struct thing *thing = run != NULL ? registry_thing(run, request->thing) : NULL;
    if (run == NULL || (request->thing != 0 && thing == NULL)) {
        return baro_err_set(err, BARO_ENOENT,
            "there is no run %" PRIu32 " with a series %" PRIu32 " here", request->run,
            request->thing);
    }
    verify->n_parts = registry_lineage(&barod->registry, run, thing, verify->parts);
    verify->kind = (uint16_t)request->kind;
    return 0;
}

static int read_cursor(
    const ProtobufCBinaryData *cursor, struct verify *verify, struct baro_err *err)
{
    size_t n_key = cursor->len - CURSOR_HEAD_BYTES;
    if (cursor->len == 0) {
        return 0;
    }
    if (cursor->len < CURSOR_HEAD_BYTES || n_key > sizeof verify->at.key ||
        (verify->n_parts > 0 && cursor->data[0] >= verify->n_parts)) {
        return baro_err_set(err, BARO_EINVAL, "the cursor is none of this daemon's");
    }
    verify->part = verify->n_parts > 0 ? cursor->data[0] : 0;
    verify->at.part = cursor->data[1];
    verify->at.key_bytes = (uint32_t)n_key;
    memcpy(verify->at.key, cursor->data + CURSOR_HEAD_BYTES, n_key);
    return 0;
}

struct job *upkeep_verify_job(
    const struct barod *barod, const Baro__VerifyRequest *request, struct baro_err *err)
{
    struct verify *verify = baro_xcalloc(1, sizeof *verify);
    verify->job = (struct job){.work = verify_work, .destroy = verify_destroy};
    int rc = request->run != 0 ? find_parts(barod, request, verify, err) : 0;
    rc = rc == 0 ? read_cursor(&request->cursor, verify, err) : rc;
    if (rc != 0) {
        free(verify);
        return NULL;
    }
    return &verify->job;
}

/* ---- met ---- */

static void log_damage(
    const struct run *run, const struct thing *thing, const struct store_damaged_group *met)
{
    const char *role = thing != NULL && thing->declare->is_tensor
                           ? baro_role_name((enum baro_role)thing->declare->role)
                           : "";
    log_error("run %" PRIu32
              " '%s/%s' (%s): some %s%s%s%s%s%s cannot be read: %s; all else "
              "is there, 'baro verify' names the steps",
        run->number, run->description->project, run->description->name,
        run->description->run_id, reading_kind_words((enum reading_kind)met->kind),
        thing != NULL ? " of '" : "", thing != NULL ? thing->declare->name : "",
        role[0] != '\0' ? ":" : "", role, thing != NULL ? "'" : "", met->cause);
}

void upkeep_take_damage(struct barod *barod)
{
    struct store_damaged_group met[MAX_TAKEN];
    size_t n = 0;
    do {
        n = store_take_damaged(barod->store, met, MAX_TAKEN);
        for (size_t i = 0; i < n; i++) {
            struct run *run = registry_run(&barod->registry, met[i].run);
            if (run == NULL) {
                log_error(
                    "the store is damaged: %s; 'baro verify' tells more", met[i].cause);
                continue;
            }
            log_damage(run, registry_thing(run, met[i].thing), &met[i]);
            run->n_damaged++;
            run->live_told_ns = 0;
            run->is_live_dirty = true;
        }
    } while (n == MAX_TAKEN);
}
