/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

enum { ROWS_TIMEOUT_MS = 60000, ROWS_POLL_MS = 200 };

/* One question that is under way. */
struct reading_rows {
    struct cli *cli;
    const struct rows_wanted *wanted;
    row_fn fn;
    int (*on_page)(void *payload);
    void *payload;
    struct rows_told *told;
    uint32_t n_f64; /* numbers of each row */
    uint32_t n_f32;
    uint32_t limit;  /* rows of a page; 0: as many as fit */
    int64_t request; /* awaited */
};

static void find_layout(struct reading_rows *rows)
{
    const struct rows_wanted *wanted = rows->wanted;
    rows->n_f64 = reading_n_f64(wanted->kind);
    rows->n_f32 =
        wanted->kind == READING_UNITS ? wanted->n_unit_stats * wanted->n_units : 0;
    if (wanted->n_columns > 0) {
        rows->n_f64 = rows->n_f64 > 0 ? wanted->n_columns : 0;
        rows->n_f32 = rows->n_f32 > 0 ? wanted->n_columns : 0;
    }
}

static int send_question(struct reading_rows *rows, uint64_t cursor)
{
    const struct rows_wanted *wanted = rows->wanted;
    struct baro_err err = {0};
    Baro__RowsRequest body = BARO__ROWS_REQUEST__INIT;
    body.run = wanted->run;
    body.thing = wanted->thing;
    body.kind = wanted->kind;
    body.from_step = wanted->from;
    body.to_step = wanted->to;
    body.first_column = wanted->first_column;
    body.n_columns = wanted->n_columns;
    body.limit = rows->limit;
    body.is_forward = true;
    body.cursor = cursor;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    request.body_case = BARO__ENVELOPE__BODY_ROWS_REQUEST;
    request.rows_request = &body;
    rows->request = link_send(rows->cli->link, &request, &err);
    return rows->request < 0 ? cli_fail_err(&err) : CLI_OK;
}

static int check_reply(struct link_message *reply)
{
    const Baro__Envelope *envelope = reply->wire.envelope;
    int rc = CLI_OK;
    if (envelope->body_case == BARO__ENVELOPE__BODY_REFUSAL) {
        rc = cli_fail("%s", envelope->refusal->text);
    } else if (envelope->body_case != BARO__ENVELOPE__BODY_ROWS_REPLY ||
               reply->n_frames != 1) {
        rc = cli_fail("the daemon gave another answer than rows");
    }
    if (rc != CLI_OK) {
        link_message_release(reply);
    }
    return rc;
}

/* Wait for the page that was asked for, looking up now and then. */
static int await_page(struct reading_rows *rows, struct link_message *out_reply)
{
    uint64_t deadline_ns = baro_now_ns() + ROWS_TIMEOUT_MS * UINT64_C(1000000);
    while (baro_now_ns() < deadline_ns) {
        struct baro_err err = {0};
        int got = link_next(rows->cli->link, ROWS_POLL_MS, out_reply, &err);
        if (got < 0) {
            return cli_fail_err(&err);
        }
        const Baro__Envelope *envelope = got > 0 ? out_reply->wire.envelope : NULL;
        if (envelope != NULL && envelope->request == (uint64_t)rows->request) {
            return check_reply(out_reply);
        }
        if (got > 0) {
            link_message_release(out_reply);
        }
        int rc = rows->on_page != NULL ? rows->on_page(rows->payload) : CLI_OK;
        if (rc != CLI_OK) {
            return rc;
        }
        if (got == 0 && !link_is_served(rows->cli->link)) {
            return cli_fail("the daemon at %s went away; try again when it is back",
                link_endpoint(rows->cli->link));
        }
    }
    return cli_fail(
        "the daemon at %s listens but does not answer; is it stopped? See 'baro "
        "status'",
        link_endpoint(rows->cli->link));
}

/* Hand on the rows of one page. */
static int give_rows(struct reading_rows *rows, const struct link_frame *frame)
{
    const uint8_t *at = frame->bytes;
    const uint8_t *end = at + frame->n_bytes;
    size_t n_fixed = 8 * (size_t)rows->n_f64 + 4 * (size_t)rows->n_f32;
    struct record_header header;
    const uint8_t *payload = NULL;
    int got;
    while ((got = record_next(&at, end, &header, &payload)) > 0) {
        if (header.payload_bytes < n_fixed || header.kind != rows->wanted->kind) {
            return cli_fail("the daemon gave a row of another kind");
        }
        struct row row = {
            .step = header.step,
            .time_ns = header.time_ns,
            .f64 = rows->n_f64 > 0 ? (const double *)(const void *)payload : NULL,
            .f32 = rows->n_f32 > 0 ? (const float *)(const void *)payload : NULL,
            .extra = payload + n_fixed,
            .extra_bytes = header.payload_bytes - n_fixed,
        };
        int rc = rows->fn(&row, rows->payload);
        if (rc != CLI_OK) {
            return rc;
        }
        rows->told->n_rows++;
    }
    return got < 0 ? cli_fail("a row from the daemon is damaged") : CLI_OK;
}

int rows_each(struct cli *cli, const struct rows_wanted *wanted, row_fn fn,
    int (*on_page)(void *payload), void *payload, struct rows_told *told)
{
    struct reading_rows rows = {
        .cli = cli,
        .wanted = wanted,
        .fn = fn,
        .on_page = on_page,
        .payload = payload,
        .told = told,
    };
    find_layout(&rows);
    int rc = send_question(&rows, 0);
    while (rc == CLI_OK) {
        struct link_message reply = {0};
        rc = await_page(&rows, &reply);
        if (rc != CLI_OK) {
            break;
        }
        assert(reply.wire.envelope != NULL);
        const Baro__RowsReply *page = reply.wire.envelope->rows_reply;
        uint64_t cursor = page->cursor;
        told->n_pruned += page->n_pruned;
        if (page->damage[0] != '\0' && told->damage[0] == '\0') {
            (void)snprintf(told->damage, sizeof told->damage, "%s", page->damage);
        }
        rc = cursor != 0 ? send_question(&rows, cursor) : CLI_OK;
        rc = rc == CLI_OK ? give_rows(&rows, &reply.frames[0]) : rc;
        link_message_release(&reply);
        if (rc == CLI_OK && on_page != NULL) {
            rc = on_page(payload);
        }
        if (cursor == 0) {
            break;
        }
    }
    return rc;
}

int rows_any(struct cli *cli, const struct rows_wanted *wanted, bool *out_any)
{
    struct reading_rows rows = {.cli = cli, .wanted = wanted, .limit = 1};
    struct link_message reply = {0};
    int rc = send_question(&rows, 0);
    rc = rc == CLI_OK ? await_page(&rows, &reply) : rc;
    if (rc == CLI_OK) {
        assert(reply.wire.envelope != NULL);
        *out_any = reply.wire.envelope->rows_reply->n_records > 0;
        link_message_release(&reply);
    }
    return rc;
}
