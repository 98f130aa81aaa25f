/* SPDX-License-Identifier: Apache-2.0 */
/* baro verify: have the daemon check all that it keeps, and say what is damaged. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading_words.h"
#include "lib/base/text.h"
#include "tools/cli.h"
#include "tools/daemon.h"
#include "tools/json.h"
#include "tools/progress.h"
#include "tools/runs.h"
#include "tools/series.h"

enum { VERIFY_TIMEOUT_MS = 60 * 1000 };

/* What one call of verify knows. */
struct verify {
    struct cli *cli;
    struct progress progress;
    struct run_list runs;
    bool has_runs;
    struct thing_list things; /* of the run told of last */
    uint32_t things_run;      /* 0: none */
    uint64_t n_chunks;
    uint64_t n_bytes;
    uint64_t n_damages;
};

/* ---- telling ---- */

/* Find what a run and a series of it are called; both may be unknown. */
static const Baro__RunInfo *find_names(
    struct verify *verify, const Baro__VerifyDamage *damage, char label[SERIES_LABEL_BYTES])
{
    const Baro__RunInfo *run = NULL;
    label[0] = '\0';
    if (!verify->has_runs) {
        verify->has_runs = runs_ask(verify->cli, &verify->runs) == CLI_OK;
    }
    for (size_t i = 0; i < verify->runs.n_runs; i++) {
        run = verify->runs.runs[i]->run == damage->run ? verify->runs.runs[i] : run;
    }
    if (run == NULL || damage->thing == 0) {
        return run;
    }
    if (verify->things_run != damage->run) {
        things_release(&verify->things);
        verify->things = (struct thing_list){0};
        verify->things_run =
            things_ask(verify->cli, damage->run, NULL, &verify->things) == CLI_OK
                ? damage->run
                : 0;
    }
    for (size_t i = 0; i < verify->things.n_things; i++) {
        const Baro__ThingInfo *thing = verify->things.things[i];
        if (thing->thing == damage->thing && !thing_is_run(thing)) {
            (void)thing_epoch_label(thing, label);
        }
    }
    return run;
}

static void tell(struct verify *verify, const Baro__VerifyDamage *damage)
{
    const struct cli *cli = verify->cli;
    char label[SERIES_LABEL_BYTES];
    const Baro__RunInfo *run = find_names(verify, damage, label);
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "id",
                json_text_or_null(run != NULL ? run->description->run_id : NULL), "project",
                json_text_or_null(run != NULL ? run->description->project : NULL), "name",
                json_text_or_null(run != NULL ? run->description->name : NULL), "series",
                json_text_or_null(label), "kind",
                reading_kind_words((enum reading_kind)damage->kind), "text",
                json_text(damage->text), "from_step",
                damage->has_steps ? json_integer((json_int_t)damage->from_step)
                                  : json_null(),
                "to_step",
                damage->has_steps ? json_integer((json_int_t)damage->to_step)
                                  : json_null()));
        return;
    }
    char name[1024];
    char safe[1024];
    char text[1024];
    if (run != NULL) {
        (void)snprintf(name, sizeof name, "%s/%s (%s)%s%s%s", run->description->project,
            run->description->name, run->description->run_id, label[0] != '\0' ? " '" : "",
            label, label[0] != '\0' ? "'" : "");
    } else {
        (void)snprintf(name, sizeof name, "run %" PRIu32, damage->run);
    }
    (void)printf("%s%s %s%s, %s: %s\n", term_paint(&cli->out, TERM_BAD),
        term_mark(&cli->out, "▲", "!"), term_safe(&cli->out, name, safe, sizeof safe),
        term_paint(&cli->out, TERM_PLAIN),
        reading_kind_words((enum reading_kind)damage->kind),
        term_safe(&cli->out, damage->text, text, sizeof text));
}

static int conclude(const struct verify *verify)
{
    char size[32];
    const struct cli *cli = verify->cli;
    (void)baro_format_bytes(verify->n_bytes, size, sizeof size);
    if (cli->values.is_json) {
        json_print(&cli->out,
            json_pack("{s:I, s:I, s:I}", "chunks", (json_int_t)verify->n_chunks, "bytes",
                (json_int_t)verify->n_bytes, "damages", (json_int_t)verify->n_damages));
    } else if (verify->n_damages == 0) {
        (void)printf("%sall is well%s: %" PRIu64 " chunks, %s\n",
            term_paint(&cli->out, TERM_GOOD), term_paint(&cli->out, TERM_PLAIN),
            verify->n_chunks, size);
    } else {
        (void)printf("checked %" PRIu64 " chunks, %s: %" PRIu64
                     " piece%s of damage; what is "
                     "not named above can be read\n",
            verify->n_chunks, size, verify->n_damages, verify->n_damages == 1 ? "" : "s");
    }
    return verify->n_damages == 0 ? CLI_OK : CLI_FAILED;
}

/* ---- asking ---- */

/* Have one part checked; *io_cursor becomes that of the next, empty at the end. */
static int step(struct verify *verify, ProtobufCBinaryData *io_cursor)
{
    struct baro_err err = {0};
    struct link_message reply;
    Baro__VerifyRequest body = BARO__VERIFY_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    body.cursor = *io_cursor;
    request.body_case = BARO__ENVELOPE__BODY_VERIFY_REQUEST;
    request.verify_request = &body;
    int rc = link_ask(verify->cli->link, &request, VERIFY_TIMEOUT_MS, &reply, &err);
    free(io_cursor->data);
    *io_cursor = (ProtobufCBinaryData){0};
    if (rc != 0) {
        progress_end(&verify->progress);
        return cli_fail_err(&err);
    }
    const Baro__VerifyReply *part = reply.wire.envelope->verify_reply;
    if (reply.wire.envelope->body_case != BARO__ENVELOPE__BODY_VERIFY_REPLY) {
        link_message_release(&reply);
        progress_end(&verify->progress);
        return cli_fail("the daemon gave another answer than what it checked");
    }
    if (part->cursor.len > 0) {
        io_cursor->len = part->cursor.len;
        io_cursor->data = baro_xcalloc(part->cursor.len, 1);
        memcpy(io_cursor->data, part->cursor.data, part->cursor.len);
    }
    verify->n_chunks += part->n_chunks;
    verify->n_bytes += part->n_bytes;
    verify->n_damages += part->n_damages;
    verify->progress.total = part->total_bytes;
    progress_tell(&verify->progress, verify->n_bytes, 0);
    for (size_t i = 0; i < part->n_damages; i++) {
        progress_end(&verify->progress);
        tell(verify, part->damages[i]);
    }
    if (part->n_damages > 0) {
        uint64_t began_ns = verify->progress.began_ns;
        progress_begin(&verify->progress, "bytes", part->total_bytes, false);
        verify->progress.began_ns = began_ns > 0 ? began_ns : verify->progress.began_ns;
    }
    link_message_release(&reply);
    return CLI_OK;
}

int cmd_verify(struct cli *cli)
{
    struct verify verify = {.cli = cli};
    ProtobufCBinaryData cursor = {0};
    int rc = daemon_ensure(cli);
    if (rc != CLI_OK) {
        return rc;
    }
    progress_begin(&verify.progress, "bytes", 0, false);
    do {
        rc = step(&verify, &cursor);
    } while (rc == CLI_OK && cursor.len > 0);
    free(cursor.data);
    progress_end(&verify.progress);
    rc = rc == CLI_OK ? conclude(&verify) : rc;
    things_release(&verify.things);
    runs_release(&verify.runs);
    return rc;
}
