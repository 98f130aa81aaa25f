/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/probes.h"

#include "lib/base/err.h"
#include "lib/base/reading.h"

/*
 * Listing asks for the numbers of the pieces without their bytes, some dozen bytes each; fetching
 * asks for all pieces of the step and takes those of the probe that is wanted.
 */

enum { ASK_TIMEOUT_MS = 60000 };

/* Called for each row. */
typedef int (*row_fn)(
    const struct record_header *header, const uint8_t *payload, void *payload_of_fn);

/* Which rows are asked for. */
struct wanted {
    uint32_t run;
    enum reading_kind kind;
    int64_t from;
    int64_t to;
    bool with_bytes;
};

static int each_row_of_page(
    const struct link_frame *frame, row_fn fn, void *payload, struct baro_err *err)
{
    const uint8_t *at = frame->bytes;
    const uint8_t *end = at + frame->n_bytes;
    const uint8_t *row = NULL;
    struct record_header header;
    int got;
    while ((got = record_next(&at, end, &header, &row)) > 0) {
        if (header.payload_bytes < PROBE_PIECE_NUMBERS * sizeof(double)) {
            return baro_err_set(
                err, BARO_ECORRUPT, "the daemon gave a row of another kind");
        }
        const int rc = fn(&header, row, payload);
        if (rc == BARO_ENOMEM) {
            return baro_err_set(err, rc, "out of memory for a list of probes");
        }
        /* A piece that cannot be is passed over: the others may still be whole. */
    }
    return got < 0 ? baro_err_set(err, BARO_ECORRUPT, "a row from the daemon is damaged")
                   : 0;
}

/* Ask for all rows, page by page; *damage begins empty and gets what the daemon could not read. */
static int each_row(struct link *link, const struct wanted *wanted, row_fn fn,
    void *payload, struct baro_err *damage, struct baro_err *err)
{
    uint64_t cursor = 0;
    do {
        Baro__RowsRequest body = BARO__ROWS_REQUEST__INIT;
        body.run = wanted->run;
        body.kind = (uint32_t)wanted->kind;
        body.from_step = wanted->from;
        body.to_step = wanted->to;
        body.is_forward = true;
        body.cursor = cursor;
        body.n_columns = wanted->with_bytes ? 0 : PROBE_PIECE_NUMBERS;
        Baro__Envelope request = BARO__ENVELOPE__INIT;
        request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
        request.rows_request = &body;
        struct link_message reply = {0};
        int rc = link_ask(link, &request, ASK_TIMEOUT_MS, &reply, err);
        if (rc != 0) {
            return rc;
        }
        const Baro__Envelope *envelope = reply.wire.envelope;
        if (envelope->body_case != BARO__ENVELOPE__BODY_ROWS_REPLY || reply.n_frames != 1) {
            rc = baro_err_set(
                err, BARO_ECORRUPT, "the daemon gave another answer than rows");
        } else {
            cursor = envelope->rows_reply->cursor;
            if (envelope->rows_reply->damage[0] != '\0' && damage->code == 0) {
                (void)baro_err_set(
                    damage, BARO_ECORRUPT, "%s", envelope->rows_reply->damage);
            }
            rc = each_row_of_page(&reply.frames[0], fn, payload, err);
        }
        link_message_release(&reply);
        if (rc != 0) {
            return rc;
        }
    } while (cursor != 0);
    return 0;
}

static int list_row(
    const struct record_header *header, const uint8_t *payload, void *payload_of_fn)
{
    return probe_list_add(payload_of_fn, header->step, header->time_ns,
        (const double *)(const void *)payload);
}

int link_probes(struct link *link, uint32_t run, int64_t from, int64_t to,
    struct probe_list *list, struct baro_err *err)
{
    static const enum reading_kind kinds[] = {READING_FAILURE, READING_PROBE};
    struct baro_err damage = {0}; /* what cannot be read is missing in the list */
    int rc = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rc == 0; i++) {
        const struct wanted wanted = {run, kinds[i], from, to, false};
        rc = each_row(link, &wanted, list_row, list, &damage, err);
    }
    return rc;
}

static int gather_row(
    const struct record_header *header, const uint8_t *payload, void *payload_of_fn)
{
    const size_t n_numbers = PROBE_PIECE_NUMBERS * sizeof(double);
    return probe_gather_add(payload_of_fn, (const double *)(const void *)payload,
        payload + n_numbers, header->payload_bytes - n_numbers);
}

int link_probe_get(struct link *link, uint32_t run, const struct probe_entry *entry,
    void **out_bytes, size_t *out_n_bytes, struct baro_err *err)
{
    const struct wanted wanted = {.run = run,
        .kind = entry->reason == PROBE_FAILURE ? READING_FAILURE : READING_PROBE,
        .from = entry->step,
        .to = entry->step,
        .with_bytes = true};
    struct probe_gather gather;
    struct baro_err damage = {0};
    int rc = probe_gather_init(&gather, entry);
    if (rc != 0) {
        return baro_err_set(err, rc, "no memory for a probe of %llu bytes",
            (unsigned long long)entry->bytes);
    }
    rc = each_row(link, &wanted, gather_row, &gather, &damage, err);
    if (rc == 0) {
        rc = probe_gather_take(&gather, out_bytes, out_n_bytes, err);
        if (rc == BARO_ENOENT && damage.code != 0) {
            rc = baro_err_set(err, BARO_ENOENT, "the probe of step %lld is not whole: %s",
                (long long)entry->step, damage.text);
        }
    }
    probe_gather_finish(&gather);
    return rc;
}
